"""Moving a document to another case: copied under a key of that case, then of it in one transaction, then purged here.

A copy of each version is made as an upload of the other case is: a row with its exact object key first, then its bytes,
under a keyset that only this process has. One transaction takes the rows away and makes the copies the versions, so
before it the document is whole in the one case and after it in the other. If the process dies before that, the copies
are swept as those of any dead upload are. After it, a step purges what lies in the case that the document left, and
that case has another key, so that old copies of the database don't open what was there.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final

from services.document.actions.documents import entered, open_version, require_document
from services.document.actions.obtaining import may_obtain, name_source
from services.document.actions.quarantine_news import tell_quarantine
from services.document.actions.sweep import is_named
from services.document.actions.uploads import InProgress, Stopped, in_progress, require_casework, until_stopped
from services.document.context import Context
from services.document.model.documents import REMOVING, Document, Move, Upload, Version
from services.document.model.quarantine import closed_without_consent, require_there
from services.document.store import Stores
from services.document.upload.crypt import EncryptingReader, new_keyset
from shared.db.unit_of_work import Tx
from shared.errors import CHANGED_SENTENCE, Changed, Conflict, Temporary
from shared.ids import is_id, new_id
from shared.messaging.steps import StepRow
from shared.ops.logs import log

PURGE_STEP: Final = "purge_moved"
_SAME_CASE = "The document is in this case already. Nothing was changed."
# Above any version's number, so that no upload and no other attempt ever writes to the same object.
_FIRST_PLACE = 2**31
_PLACES = 2**52


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One version, and the copy that is made of it in the other case. `keyset` opens the copy."""

    version: Version
    upload: Upload
    keyset: bytes


def move_document(context: Context, *, document_id: str, to: str, reason: str, by: str) -> Document:
    """Move it to that case with all its versions; the document as it is there. by: the `sub` of who moves it.

    It is no scan of a paper file any more, since paper files are a case's. One that the other case's family didn't
    agree to have from others comes into quarantine there (P11). The case `to` is known here already.

    Raises NotFound, Conflict (it is there already, or was returned), Frozen, Erased (the case `to`), ConsentRequired,
    Changed, Unavailable; then nothing was changed.
    """
    before = require_document(context.stores, document_id)
    if before.case_id == to:
        raise Conflict(_SAME_CASE)
    require_there(before)
    try:
        return _moved(context, before, to=to, reason=reason, by=by)
    except Stopped:
        # By an erasure of the case that it was to leave: then it isn't found any more.
        require_document(context.stores, document_id)
        raise


def _moved(context: Context, before: Document, *, to: str, reason: str, by: str) -> Document:
    stores, copies = context.stores, list[Copy]()

    def begin(tx: Tx) -> None:
        found = _entered_both(stores, before, to, tx=tx)
        versions = _versions_of(stores, found, tx=tx)
        copies[:] = [Copy(version=one, upload=_upload(one, to), keyset=new_keyset()) for one in versions]
        for copy in copies:
            stores.receiving.begin(copy.upload, tx=tx)

    stores.unit_of_work.run(begin)
    with ExitStack() as under_way:
        started = [under_way.enter_context(in_progress(context, copy.upload, _nothing_waits)) for copy in copies]
        for copy, progress in zip(copies, started, strict=True):
            _copy_bytes(stores, copy, progress)
        may_have = may_obtain(context, to, before.source, before.kind)
        if not may_have:
            name_source(context, to, before.source)
        for copy in copies:
            context.watch.remove(copy.upload.id)

        def write(tx: Tx) -> Document:
            found = _entered_both(stores, before, to, tx=tx)
            if (found.source, found.kind) != (before.source, before.kind):
                # It was asked for another kind of document.
                raise Changed(CHANGED_SENTENCE)
            _exchange_versions(stores, found, copies, tx=tx)
            moved = replace(
                _of_no_email(found),
                case_id=to,
                paper_file_id=None,
                moves=(*found.moves, Move(reason=reason, by=by, at=tx.now)),
            )
            if not may_have:
                moved = closed_without_consent(moved, at=tx.now)
            # Answers that were kept for a repeat show the document in the case that it left.
            context.forget_answers(tx, case_id=found.case_id, record=found.id)
            tx.renew_key(found.case_id)
            stores.steps.add(tx, PURGE_STEP, f"{found.case_id}/{found.id}", found.case_id)
            moved = stores.documents.save(moved, tx=tx)
            for left in stores.documents.find({"case_id": found.case_id, "attachment_of": found.id}, tx=tx):
                # What was filed from the email's attachments stays, and doesn't say which case the email is in.
                stores.documents.save(_of_no_email(left), tx=tx)
            if found.closed_for is not None:
                tell_quarantine(stores, replace(found, state=REMOVING), tx=tx)
            if moved.closed_for is not None:
                tell_quarantine(stores, moved, tx=tx)
            return moved

        moved = stores.unit_of_work.run(write)
    log.info("document.moved", case_id=before.case_id, record_id=before.id, count=len(copies))
    return moved


def purge_moved(context: Context, step: StepRow) -> None:
    """Purge every object that a moved document left behind, and read back that none is there. Raises Temporary.

    What a record speaks of stays: the document may have come back meanwhile.
    """
    stores = context.stores
    for key in _left_behind(stores, step.key):
        stores.files.purge(key)
    if _left_behind(stores, step.key):
        raise Temporary("moved-object-remains")


def _left_behind(stores: Stores, place: str) -> list[str]:
    """The keys below `<case>/<document>` that no version and no upload has."""
    case_id, _, document_id = place.partition("/")
    if not (is_id(case_id) and is_id(document_id)):
        raise ValueError("a step to purge what was moved names a case and a document")
    keys = stores.files.keys_under(f"{case_id}/{document_id}/")
    return [key for key in keys if not is_named(stores, case_id, document_id, int(key.rpartition("/")[2]))]


def _entered_both(stores: Stores, before: Document, to: str, *, tx: Tx) -> Document:
    """Through the gates of both cases, the document as it is now. Raises as `move_document`."""
    found = entered(stores, before, tx=tx)
    tx.enter(to)
    require_casework(stores, to, tx=tx)
    return found


def _versions_of(stores: Stores, document: Document, *, tx: Tx) -> list[Version]:
    return stores.versions.find({"document_id": document.id, "case_id": document.case_id}, tx=tx)


def _upload(version: Version, to: str) -> Upload:
    return Upload(
        id=new_id(),
        case_id=to,
        document_id=version.document_id,
        number=version.number,
        place=_FIRST_PLACE + secrets.randbelow(_PLACES),
        moved_from=version.case_id,
    )


def _copy_bytes(stores: Stores, copy: Copy, progress: InProgress) -> None:
    """Stream one version to its new place, encrypted anew; memory doesn't grow with it. Raises as `open_version`."""
    key = copy.upload.object_key
    with open_version(stores, copy.version) as source:
        plain = until_stopped(source, progress)
        stores.files.put(key, EncryptingReader(plain, copy.keyset, key.encode()))


def _exchange_versions(stores: Stores, document: Document, copies: Sequence[Copy], *, tx: Tx) -> None:
    """Make the copies the document's versions, in place of those that they are of. Raises Changed, Stopped."""
    if {one.id for one in _versions_of(stores, document, tx=tx)} != {copy.version.id for copy in copies}:
        raise Changed(CHANGED_SENTENCE)
    if not all(stores.receiving.complete(copy.upload, tx=tx) for copy in copies):
        raise Stopped
    stores.versions.rows.delete_many({"document_id": document.id}, session=tx.session)
    for copy in copies:
        upload = copy.upload
        new = replace(copy.version, id=upload.id, case_id=upload.case_id, place=upload.place, keyset=copy.keyset)
        stores.versions.add(new, tx=tx)


def _of_no_email(document: Document) -> Document:
    return replace(document, attachment_of=None, attached_version=None, attached_number=None)


def _nothing_waits() -> None:
    """A copy reads from the object store, which answers or is given up: no caller is waited for."""
