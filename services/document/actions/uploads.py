"""An upload, from the row that announces it to the version it becomes, or to nothing at all.

The row with the exact object key is committed under the gate before the first byte is read, and taken away by the
transaction that writes the version, under the gate again. So if a process dies in between, there is a row
that says which object to purge; and an upload that an erasure has overtaken can't be completed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace

from services.document.context import Context
from services.document.model.documents import Attachment, Content, Upload, Version
from services.document.parsing.errors import Reason, Unreadable
from services.document.store import Stores
from services.document.store.files import StoreAway
from services.document.upload.crypt import EncryptingReader, new_keyset
from services.document.upload.meter import Meter
from services.document.upload.readable import CHUNK, Readable
from services.document.upload.spool import Spool
from shared.db.gates import CLOSED, ERASED_SENTENCE
from shared.db.unit_of_work import Tx
from shared.errors import Erased, Invalid, Temporary, Unavailable
from shared.known_consents import KnownConsents
from shared.ops.logs import log, where

_NEEDS_NONE = "A password was sent with a file that can't have one. Nothing was kept; send the file without it."
_PDF_ALONE = "Only a PDF can have a password."
_STOPPED = "The upload was stopped, because it was silent for too long or its case is being erased. Nothing was kept."


class Stopped(Unavailable):
    """The upload's row was taken from it: it may not be completed."""

    def __init__(self) -> None:
        super().__init__(_STOPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An upload whose object is written: how to open it, and its spool, still to be inspected."""

    keyset: bytes
    size: int
    sha256: str
    spool: Spool


class InProgress:
    """One upload while it lasts. `stop` may be called by another thread.

    caller: the descriptor of the caller's connection, where there is one.
    """

    def __init__(self, upload: Upload, stop_reading: Callable[[], None], caller: int | None) -> None:
        self.upload = upload
        self.caller = caller
        self._stop_reading = stop_reading
        self._stopped = threading.Event()

    def stop(self) -> None:
        """No further byte is read, also when the caller sends none."""
        self._stopped.set()
        self._stop_reading()

    @property
    def is_stopped(self) -> bool:
        return self._stopped.is_set()


def until_stopped(source: Readable, progress: InProgress) -> Readable:
    """The source, whose reads raise Stopped once the upload is told to stop."""
    return _UntilStopped(source, progress)


class _UntilStopped:
    """The source, until the upload is told to stop."""

    def __init__(self, source: Readable, progress: InProgress) -> None:
        self._source = source
        self._progress = progress

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        if self._progress.is_stopped:
            raise Stopped
        return data


@contextmanager
def in_progress(
    context: Context, upload: Upload, stop_reading: Callable[[], None], *, caller: int | None = None
) -> Iterator[InProgress]:
    """Keep the heartbeat of the upload's row going; purge its object if the body of the `with` fails, however it fails.

    stop_reading: wakes a read that waits for the caller. Raises Erased when an erasure stopped it, else Stopped.
    """
    progress = InProgress(upload, stop_reading, caller)
    context.watch.add(upload.id, progress.stop)
    try:
        yield progress
    except BaseException as error:
        context.watch.remove(upload.id)
        # A write whose outcome isn't known may still arrive at the object store.
        _clean_up(context.stores, upload, certain=not isinstance(error, StoreAway))
        if progress.is_stopped or isinstance(error, Stopped):
            raise _why_stopped(context.stores, upload) from error
        raise
    finally:
        context.watch.remove(upload.id)


@contextmanager
def stored(context: Context, progress: InProgress, source: Readable) -> Iterator[Stored]:
    """Stream the source into the object store, encrypted from its first byte; memory doesn't grow with it.

    Raises FileTooLarge, what the source raises, Stopped, StoreAway.
    """
    keyset, key = new_keyset(), progress.upload.object_key
    with closing(Spool(context.spool)) as spool:
        meter = Meter(_UntilStopped(source, progress), limit=context.upload_limit, spool=spool)
        context.stores.files.put(key, EncryptingReader(meter, keyset, key.encode()))
        yield Stored(keyset=keyset, size=meter.size, sha256=meter.sha256, spool=spool)


def content_of(
    context: Context,
    progress: InProgress,
    file: Stored,
    *,
    password: str | None = None,
    takes_password: bool = False,
) -> tuple[Content, Stored]:
    """What the file is, found by a process apart, and what is kept: the file as it was sent, or a locked PDF opened.

    takes_password: whether one could have been sent with it. Raises as `Sandbox.inspect`, Invalid (a password for what
    can have none), StoreAway.
    """
    try:
        inspection = context.sandbox.inspect(file.spool, password=password, caller=progress.caller)
    except Unreadable as error:
        if error.reason is Reason.NEEDS_PASSWORD and not takes_password:
            raise Unreadable(Reason.LOCKED) from None
        raise
    if password is not None and not inspection.may_have_password:
        raise Invalid(_NEEDS_NONE, errors={"password": [_PDF_ALONE]})
    kept = _store_opened(context, progress, file, password) if inspection.locked and password is not None else file
    content = Content(
        media_type=inspection.media_type,
        size=kept.size,
        sha256=kept.sha256,
        pages=inspection.pages,
        warnings=inspection.warnings,
        attachments=tuple(Attachment(**asdict(one)) for one in inspection.attachments),
        sha256_as_sent=None if kept is file else file.sha256,
    )
    return content, kept


def _store_opened(context: Context, progress: InProgress, file: Stored, password: str) -> Stored:
    """Put the PDF without its password in the place of the one that was sent, of which nothing stays.

    Both have the upload's key, which its row knows: so whenever the process dies, what lies there is purged.
    """
    keyset, key, files = new_keyset(), progress.upload.object_key, context.stores.files
    try:
        files.purge(key)
    except Temporary:
        raise StoreAway from None
    with context.sandbox.unlock(file.spool, password, caller=progress.caller) as opened:
        meter = Meter(_UntilStopped(opened, progress), limit=context.upload_limit)
        files.put(key, EncryptingReader(meter, keyset, key.encode()))
    return replace(file, keyset=keyset, size=meter.size, sha256=meter.sha256)


def malware_in(context: Context, progress: InProgress, file: Stored, *, unlock_with: str | None = None) -> str | None:
    """The name of the malware that the scanner finds in it; None for a clean file, or without a scanner (FMN_CLAMD).

    unlock_with: the password of a PDF that is kept opened: the scanner sees nothing in a locked one. Raises
    ScannerAway, OverScannersLimit, Stopped, and as `Sandbox.unlock`.
    """
    if context.scanner is None:
        return None
    file.spool.seek(0)
    if unlock_with is None:
        signature = context.scanner.signature_in(_pieces(_UntilStopped(file.spool, progress)))
    else:
        with context.sandbox.unlock(file.spool, unlock_with, caller=progress.caller) as opened:
            signature = context.scanner.signature_in(_pieces(_UntilStopped(opened, progress)))
    if signature is not None:
        upload = progress.upload
        log.warning("malware.found", case_id=upload.case_id, record_id=upload.document_id, reason=signature)
    return signature


def _pieces(source: Readable) -> Iterator[bytes]:
    while piece := source.read(CHUNK):
        yield piece


def complete(stores: Stores, upload: Upload, file: Stored, content: Content, *, tx: Tx) -> None:
    """Through the gate, turn the upload's row into a version. Raises Erased, Frozen, ConsentRequired, Stopped."""
    tx.enter(upload.case_id)
    require_casework(stores, upload.case_id, tx=tx)
    if not stores.receiving.complete(upload, tx=tx):
        raise Stopped
    version = Version(
        id=upload.id,
        case_id=upload.case_id,
        document_id=upload.document_id,
        number=upload.number,
        keyset=file.keyset,
        at=tx.now,
        **content.as_content(),
    )
    stores.versions.add(version, tx=tx)


def require_casework(stores: Stores, case_id: str, *, tx: Tx) -> None:
    """Raises ConsentRequired unless the family agreed to a case file (P4)."""
    known = stores.projections.get(case_id, tx=tx) or KnownConsents(case_id=case_id)
    known.require_casework(tx.now)


def _clean_up(stores: Stores, upload: Upload, *, certain: bool) -> None:
    """Purge what the upload wrote, unless it was completed after all. What fails here is left for the sweep.

    certain: nothing of it can be written any more.
    """
    try:
        there = stores.receiving.stop(upload.id)
        if not there and stores.versions.exists({"_id": upload.id}):
            return
        stores.files.purge(upload.object_key)
        if there and certain:
            stores.receiving.delete(upload)
        elif there:
            stores.unit_of_work.run(lambda tx: stores.receiving.abandon(upload, tx=tx))
    except Exception as error:  # noqa: BLE001 - after any error the row stays, lapses and is swept
        log.warning("upload.left_to_sweep", record_id=upload.id, case_id=upload.case_id, **where(error))


def _why_stopped(stores: Stores, upload: Upload) -> Exception:
    if stores.unit_of_work.gates.state(upload.case_id) == CLOSED:
        return Erased(ERASED_SENTENCE)
    return Stopped()
