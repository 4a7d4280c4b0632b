"""Filing a document, adding a version, reading and removing one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

from services.document.actions.incoming import Filed, Incoming
from services.document.actions.obtaining import may_obtain, name_source, require_obtainable
from services.document.actions.quarantine_news import tell_quarantine
from services.document.actions.uploads import complete, content_of, in_progress, malware_in, require_casework, stored
from services.document.context import Context
from services.document.model.documents import ACCEPTED, REMOVING, Document, Upload, Version, oldest_with
from services.document.model.quarantine import require_readable, screened
from services.document.store import Stores
from services.document.store.documents import delete_removed, mark_removing
from services.document.store.files import NoObject, OpenFile
from services.document.upload.readable import Readable
from shared.db.gates import CLOSED, ERASED_SENTENCE
from shared.db.unit_of_work import Tx
from shared.errors import CHANGED_SENTENCE, Changed, Erased, Invalid, NotFound, Unavailable
from shared.ids import new_id
from shared.messaging.steps import StepRow
from shared.ops.logs import log

REMOVE_STEP = "remove_document"
NO_DOCUMENT = "There is no such document, or no longer. Nothing was changed."
_NO_VERSION = "This document has no such version."
_OTHER_PAPER = "This is not a paper file of this case."
_JUST_MOVED = "The document was moved to another case just now. Try again."
_MISSING = "The file isn't where it should be; the operator has been told. Try again later."


def file_document(
    context: Context, *, case_id: str, incoming: Incoming, check: Callable[[Tx], None] = lambda tx: None
) -> Filed:
    """Take a document in (P11): accepted, or quarantined when it comes from others without consent or has malware.

    Gate and consent are settled before the body is read. Raises Erased, Frozen, NotFound, ConsentRequired, Invalid,
    Unavailable, the errors of `upload`; then nothing is kept. check: raises where it may not be filed after all, in the
    transaction that files it.
    """
    stores = context.stores
    upload = Upload(id=new_id(), case_id=case_id, document_id=new_id(), number=1)

    def begin(tx: Tx) -> None:
        tx.enter(case_id)
        require_casework(stores, case_id, tx=tx)
        stores.receiving.begin(upload, tx=tx)

    stores.unit_of_work.run(begin)
    with in_progress(context, upload, incoming.stop_reading, caller=incoming.caller) as progress:
        form = incoming.open()
        if (early := incoming.early_details(form.fields)) is not None:
            # Asked before the file comes, so that a consent service that is away costs the caller nothing.
            may_obtain(context, case_id, early.source, early.kind)
        with stored(context, progress, form.file) as file:
            fields = form.finish()
            password = incoming.password(fields)
            details = incoming.details(fields)
            content, kept = content_of(
                context, progress, file, password=password, takes_password=incoming.takes_password
            )
            locked = content.sha256_as_sent is not None
            malware = malware_in(context, progress, kept, unlock_with=password if locked else None)
            may_have = may_obtain(context, case_id, details.source, details.kind)
            if not may_have:
                name_source(context, case_id, details.source)
            incoming.claim(fields, file.sha256)
            context.watch.remove(upload.id)

            def write(tx: Tx) -> Filed:
                # By opening them: no digest in clear says which documents are alike.
                same_as = oldest_with(stores.versions.of_case(case_id, tx=tx), content.sha256)
                complete(stores, upload, kept, content, tx=tx)
                _check_paper(stores, case_id, details.paper_file_id, tx=tx)
                check(tx)
                document = Document(
                    id=upload.document_id,
                    case_id=case_id,
                    state=ACCEPTED,
                    number=upload.number,
                    created_at=tx.now,
                    **asdict(details),
                    **content.as_content(),
                )
                document = screened(document, signature=malware, may_obtain=may_have, at=tx.now)
                document = stores.documents.add(document, tx=tx)
                if document.closed_for is not None:
                    tell_quarantine(stores, document, tx=tx)
                return Filed(document=document, same_as=same_as)

            return stores.unit_of_work.run(write)


def add_version(
    context: Context,
    *,
    document_id: str,
    check: Callable[[Document], None],
    body: Callable[[], Readable],
    stop_reading: Callable[[], None],
    caller: int | None,
) -> Document:
    """Add these bytes as the document's newest version; older ones stay.

    check: raises unless the caller read this state of it. Raises as `file_document`, and Changed.
    """
    stores = context.stores
    before = require_document(stores, document_id)
    require_obtainable(context, before)

    def begin(tx: Tx) -> Upload:
        found = entered(stores, before, tx=tx)
        check(found)
        require_casework(stores, found.case_id, tx=tx)
        # Numbers of uploads under way, and of those that died, aren't given again: nothing is overwritten.
        taken = [found.number, *stores.receiving.numbers_of(document_id, tx=tx)]
        upload = Upload(id=new_id(), case_id=found.case_id, document_id=document_id, number=max(taken) + 1)
        stores.receiving.begin(upload, tx=tx)
        return upload

    upload = stores.unit_of_work.run(begin)
    with (
        in_progress(context, upload, stop_reading, caller=caller) as progress,
        stored(context, progress, body()) as file,
    ):
        content, kept = content_of(context, progress, file)
        malware = malware_in(context, progress, kept)
        require_obtainable(context, before)
        context.watch.remove(upload.id)

        def write(tx: Tx) -> Document:
            with erased_as_not_found():
                complete(stores, upload, kept, content, tx=tx)
            found = entered(stores, before, tx=tx)
            check(found)
            after = replace(found, number=upload.number, **content.as_content())
            after = stores.documents.save(screened(after, signature=malware, may_obtain=True, at=tx.now), tx=tx)
            if (found.closed_for, after.closed_for) != (None, None):
                tell_quarantine(stores, after, tx=tx)
            return after

        return stores.unit_of_work.run(write)


def require_document(stores: Stores, document_id: str) -> Document:
    """The document. Raises NotFound, also when its case is erased: nothing remembers it."""
    document = _found(stores, document_id)
    if stores.unit_of_work.gates.state(document.case_id) == CLOSED:
        raise NotFound(NO_DOCUMENT)
    return document


def list_documents(stores: Stores, *, case_id: str, after: str | None, limit: int) -> list[Document]:
    """One page of the case's documents. Raises Erased."""
    if stores.unit_of_work.gates.state(case_id) == CLOSED:
        raise Erased(ERASED_SENTENCE)
    return stores.documents.page({"case_id": case_id}, after, limit)


def version_to_read(stores: Stores, document: Document, *, number: int | None) -> Version:
    """The version asked for, the newest by default. Raises NotFound; ConsentRequired, Conflict (in quarantine)."""
    number = number or document.number
    require_readable(document, number)
    version = stores.versions.first({"document_id": document.id, "number": number})
    if version is None:
        raise NotFound(_NO_VERSION)
    return version


def open_version(stores: Stores, version: Version) -> OpenFile:
    """Its bytes. Raises NotFound when it went meanwhile, Unavailable when its object is missing or out of reach."""
    try:
        return stores.files.open(version)
    except NoObject:
        if report_missing(stores, version.id, version.case_id, version.document_id, version.number):
            raise Unavailable(_MISSING) from None
        if stores.versions.exists({"document_id": version.document_id, "case_id": {"$ne": version.case_id}}):
            raise Unavailable(_JUST_MOVED) from None
        raise NotFound(NO_DOCUMENT) from None


def report_missing(stores: Stores, version_id: str, case_id: str, document_id: str, number: int) -> bool:
    """Log a version whose object was just found missing; False where it is rightly so.

    That is where its record went meanwhile, or its case is erased: objects go first, then records.
    """
    gone = not stores.versions.exists({"_id": version_id})
    if gone or stores.unit_of_work.gates.state(case_id) == CLOSED:
        return False
    log.error("record.without_object", case_id=case_id, record_id=document_id, count=number)
    return True


def remove_document(stores: Stores, *, document_id: str, check: Callable[[Document], None]) -> None:
    """Remove it and every version: at once for readers, from the object store in a step. Raises NotFound, Changed."""
    before = require_document(stores, document_id)

    def act(tx: Tx) -> None:
        found = entered(stores, before, tx=tx)
        check(found)
        mark_removing(stores.documents, stores.versions, found, tx=tx)
        stores.steps.add(tx, REMOVE_STEP, document_id, found.case_id)
        if found.closed_for is not None:
            tell_quarantine(stores, replace(found, state=REMOVING), tx=tx)

    stores.unit_of_work.run(act)


def finish_removal(context: Context, step: StepRow) -> None:
    """Purge the objects of a document that is being removed, or was returned; then delete the row of one removed.

    Raises Temporary, also when something is still there when it is read back; Unavailable.
    """
    context.stores.files.purge_under(f"{step.case_id}/{step.key}/")
    delete_removed(context.stores.documents, step.key)


def entered(stores: Stores, before: Document, *, tx: Tx) -> Document:
    """Through its case's gate, the document as it is now. Raises Frozen, NotFound, Changed where it was moved since."""
    with erased_as_not_found():
        tx.enter(before.case_id)
    found = _found(stores, before.id, tx=tx)
    if found.case_id != before.case_id:
        raise Changed(CHANGED_SENTENCE)
    return found


def _check_paper(stores: Stores, case_id: str, paper_file_id: str | None, *, tx: Tx) -> None:
    if paper_file_id is not None and stores.paper_files.get(paper_file_id, case_id=case_id, tx=tx) is None:
        raise Invalid(f"{_OTHER_PAPER} Nothing was kept.", errors={"paper_file_id": [_OTHER_PAPER]})


def _found(stores: Stores, document_id: str, *, tx: Tx | None = None) -> Document:
    document = stores.documents.get(document_id, tx=tx)
    if document is None:
        raise NotFound(NO_DOCUMENT)
    return document


@contextmanager
def erased_as_not_found() -> Iterator[None]:
    """What is found by another id than its case's is not found once the case is erased."""
    try:
        yield
    except Erased:
        raise NotFound(NO_DOCUMENT) from None
