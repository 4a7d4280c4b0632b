"""Filing a document, adding a version, reading and removing one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from services.document.actions.uploads import check_casework, complete, in_progress, looked_at, stored
from services.document.model.documents import ACCEPTED, FAMILY, QUARANTINED, Document, Version
from services.document.store.files import NoObject, OpenFile
from services.document.store.receiving import Upload
from services.document.store.stores import Stores
from services.document.upload.readable import Readable
from shared.db.gates import CLOSED, ERASED_SENTENCE
from shared.db.unit_of_work import Tx
from shared.errors import ConsentRequired, Erased, Invalid, NotFound, Unavailable
from shared.ids import new_id
from shared.messaging.steps import StepRow
from shared.ops.logs import log

REMOVE_STEP = "remove_document"
_NO_DOCUMENT = "There is no such document, or no longer. Nothing was changed."
_NO_VERSION = "This document has no such version."
_QUARANTINED = (
    "This document came from others than the family, without their consent to have it, and is kept closed. "
    "It can be opened once it was asked for with consent."
)
_NO_CONSENT = "The family hasn't agreed to have this kind of document from this party. Nothing was kept."
_OTHER_PAPER = "This is not a paper file of this case."
_MISSING = "The file isn't where it should be; the operator has been told. Try again later."


class Form(Protocol):
    """An upload's form, read up to its file: intake's `Form`."""

    @property
    def file(self) -> Readable: ...
    @property
    def fields(self) -> dict[str, str]: ...
    def finish(self) -> dict[str, str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the caller says about a document."""

    kind: str
    source: str
    title: str | None
    paper_file_id: str | None


class Incoming(Protocol):
    """A document on its way in, as the HTTP side hands it over."""

    def open(self) -> Form:
        """Read the body up to the file. Raises intake's errors."""
        ...

    def early(self, fields: Mapping[str, str]) -> About | None:
        """What came before the file, if that is already enough to ask for consent. Raises Invalid."""
        ...

    def about(self, fields: Mapping[str, str]) -> About:
        """All the fields. Raises Invalid."""
        ...

    def claim(self, fields: Mapping[str, str], sha256: str) -> None:
        """Claim the caller's idempotency key, now that the body is known."""
        ...

    def hang_up(self) -> None:
        """Wake a read that waits for the caller."""
        ...


def file_document(stores: Stores, *, case_id: str, incoming: Incoming) -> Document:
    """Take a document in (P11): accepted, or quarantined when it comes from others without consent.

    Gate and consent are settled before the body is read. Raises Erased, Frozen, NotFound, ConsentRequired, Invalid,
    Unavailable, intake's errors; then nothing is kept.
    """
    upload = Upload(id=new_id(), case_id=case_id, document_id=new_id(), number=1)

    def begin(tx: Tx) -> None:
        tx.enter(case_id)
        check_casework(stores, tx, case_id)
        stores.receiving.begin(tx, upload)

    stores.unit_of_work.run(begin)
    with in_progress(stores, upload, incoming.hang_up) as progress:
        form = incoming.open()
        if (early := incoming.early(form.fields)) is not None:
            # Asked before the file comes, so that a consent service that is away costs the caller nothing.
            _state_of(stores, case_id, early)
        with stored(stores, progress, form.file) as file:
            fields = form.finish()
            content = looked_at(file)
            about = incoming.about(fields)
            state = _state_of(stores, case_id, about)
            incoming.claim(fields, file.sha256)
            stores.watch.remove(upload.id)

            def write(tx: Tx) -> Document:
                version = complete(stores, tx, upload, file, content)
                _check_paper(stores, tx, case_id, about.paper_file_id)
                document = Document(
                    id=upload.document_id,
                    case_id=case_id,
                    etag=1,
                    kind=about.kind,
                    state=state,
                    source=about.source,
                    title=about.title,
                    paper_file_id=about.paper_file_id,
                    number=version.number,
                    content=content,
                    created_at=tx.now,
                )
                return stores.documents.add(tx, document, version)

            return stores.unit_of_work.run(write)


def add_version(
    stores: Stores,
    *,
    document_id: str,
    check: Callable[[Document], None],
    body: Callable[[], Readable],
    hang_up: Callable[[], None],
) -> Document:
    """Add these bytes as the document's newest version; older ones stay.

    check: raises unless the caller read this state of it. Raises as `file_document`, and Changed.
    """
    before = living(stores, document_id)
    _check_still_obtainable(stores, before)

    def begin(tx: Tx) -> Upload:
        _enter(tx, before.case_id)
        found = _found(stores, document_id, tx)
        check(found)
        check_casework(stores, tx, found.case_id)
        # Numbers of uploads under way, and of those that died, aren't given again: nothing is overwritten.
        taken = [found.number, *stores.receiving.numbers_of(tx, document_id)]
        upload = Upload(id=new_id(), case_id=found.case_id, document_id=document_id, number=max(taken) + 1)
        stores.receiving.begin(tx, upload)
        return upload

    upload = stores.unit_of_work.run(begin)
    with in_progress(stores, upload, hang_up) as progress, stored(stores, progress, body()) as file:
        content = looked_at(file)
        _check_still_obtainable(stores, before)
        stores.watch.remove(upload.id)

        def write(tx: Tx) -> Document:
            version = _as_not_found(lambda: complete(stores, tx, upload, file, content))
            found = _found(stores, document_id, tx)
            check(found)
            return stores.documents.add_version(tx, found, version)

        return stores.unit_of_work.run(write)


def living(stores: Stores, document_id: str) -> Document:
    """The document. Raises NotFound, also when its case is erased: nothing remembers it."""
    document = stores.documents.get(document_id)
    if document is None or stores.unit_of_work.gates.state(document.case_id) == CLOSED:
        raise NotFound(_NO_DOCUMENT)
    return document


def list_documents(stores: Stores, *, case_id: str, after: str | None, limit: int) -> list[Document]:
    if stores.unit_of_work.gates.state(case_id) == CLOSED:
        raise Erased(ERASED_SENTENCE)
    return stores.documents.of_case(case_id, after=after, limit=limit)


def version_to_read(stores: Stores, document: Document, *, number: int | None) -> Version:
    """The version asked for, the newest by default. Raises NotFound, ConsentRequired (quarantined)."""
    if document.state == QUARANTINED:
        raise ConsentRequired(_QUARANTINED)
    version = stores.documents.version(document.id, document.number if number is None else number)
    if version is None:
        raise NotFound(_NO_VERSION)
    return version


def open_version(stores: Stores, version: Version) -> OpenFile:
    """Its bytes. Raises NotFound when it went meanwhile, Unavailable when its object is missing or out of reach."""
    try:
        return stores.files.open(version)
    except NoObject:
        if not stores.documents.has_version(version.id):
            raise NotFound(_NO_DOCUMENT) from None
        log.error("record.without_object", record_id=version.document_id, case_id=version.case_id)
        raise Unavailable(_MISSING) from None


def remove_document(stores: Stores, *, document_id: str, check: Callable[[Document], None]) -> None:
    """Remove it and every version: at once for readers, from the object store in a step. Raises NotFound, Changed."""
    case_id = living(stores, document_id).case_id

    def act(tx: Tx) -> None:
        _enter(tx, case_id)
        found = _found(stores, document_id, tx)
        check(found)
        stores.documents.mark_removing(tx, found)
        stores.steps.add(tx, REMOVE_STEP, document_id, case_id)

    stores.unit_of_work.run(act)


def finish_removal(stores: Stores, step: StepRow) -> None:
    """Purge the objects of a document that is being removed, then forget it. Raises Temporary, Unavailable."""
    stores.files.purge_under(f"{step.case_id}/{step.key}/")
    stores.documents.forget(step.key)


def _state_of(stores: Stores, case_id: str, about: About) -> str:
    if about.source == FAMILY:
        return ACCEPTED
    allowed = stores.may_obtain(case_id=case_id, party=about.source, kind=about.kind)
    return ACCEPTED if allowed else QUARANTINED


def _check_still_obtainable(stores: Stores, document: Document) -> None:
    """A new version of another party's document is a document from that party."""
    if document.state == QUARANTINED:
        raise ConsentRequired(_QUARANTINED)
    about = About(kind=document.kind, source=document.source, title=None, paper_file_id=None)
    if _state_of(stores, document.case_id, about) != ACCEPTED:
        raise ConsentRequired(_NO_CONSENT)


def _check_paper(stores: Stores, tx: Tx, case_id: str, paper_file_id: str | None) -> None:
    if paper_file_id is None:
        return
    paper = stores.papers.get(paper_file_id, tx=tx)
    if paper is None or paper.case_id != case_id:
        raise Invalid(f"{_OTHER_PAPER} Nothing was kept.", errors={"paper_file_id": [_OTHER_PAPER]})


def _found(stores: Stores, document_id: str, tx: Tx) -> Document:
    document = stores.documents.get(document_id, tx=tx)
    if document is None:
        raise NotFound(_NO_DOCUMENT)
    return document


def _enter(tx: Tx, case_id: str) -> None:
    _as_not_found(lambda: tx.enter(case_id))


def _as_not_found(act: Callable[[], Any]) -> Any:
    """Do it; what is found by another id than its case's is not found once the case is erased."""
    try:
        return act()
    except Erased:
        raise NotFound(_NO_DOCUMENT) from None
