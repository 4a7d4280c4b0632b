"""An upload, from the row that announces it to the version it becomes, or to nothing at all.

The row with the exact object key is committed under the gate before the first byte is read, and taken away by the
transaction that writes the version, under the gate again. So whatever dies in between, and wherever, there is a row
that says which object to purge; and an upload that an erasure has overtaken can't be completed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from services.document.model.documents import Content, Version
from services.document.store.files import StoreAway
from services.document.store.receiving import Upload
from services.document.store.stores import Stores
from services.document.upload.crypt import EncryptingReader, new_keyset
from services.document.upload.inspect import inspect
from services.document.upload.meter import Meter
from services.document.upload.readable import Readable
from services.document.upload.spool import Spool
from shared.db.gates import CLOSED, ERASED_SENTENCE
from shared.db.unit_of_work import Tx
from shared.errors import ConsentRequired, Erased, Unavailable
from shared.ops.logs import log, where

_STOPPED = "The upload was given up here, because it was silent for too long or was being erased. Nothing was kept."
NO_CASEWORK = "The family hasn't agreed to a case file, or no longer does, so nothing is taken in. Nothing was kept."


class Stopped(Unavailable):
    """The upload's row was taken from it: it may not be completed."""

    def __init__(self) -> None:
        super().__init__(_STOPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An upload whose object is written: how to open it, and its spool, still to be looked at."""

    keyset: bytes
    size: int
    sha256: str
    spool: Spool


class InProgress:
    """One upload while it lasts. `stop` may be called by another thread."""

    def __init__(self, upload: Upload, hang_up: Callable[[], None]) -> None:
        self.upload = upload
        self._hang_up = hang_up
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Give up: no further byte is read, also when the caller sends none."""
        self._stopped.set()
        self._hang_up()

    @property
    def is_stopped(self) -> bool:
        return self._stopped.is_set()


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
def in_progress(stores: Stores, upload: Upload, hang_up: Callable[[], None]) -> Iterator[InProgress]:
    """Keep the upload's row beating; purge its object if the body of the `with` fails, however it fails.

    hang_up: wakes a read that waits for the caller. Raises Erased when an erasure stopped it, else Stopped.
    """
    progress = InProgress(upload, hang_up)
    stores.watch.add(upload.id, progress.stop)
    try:
        yield progress
    except BaseException as error:
        stores.watch.remove(upload.id)
        # A write whose outcome isn't known may still arrive at the object store.
        give_up(stores, upload, certain=not isinstance(error, StoreAway))
        if progress.is_stopped or isinstance(error, Stopped):
            raise _why_stopped(stores, upload) from error
        raise
    finally:
        stores.watch.remove(upload.id)


def give_up(stores: Stores, upload: Upload, *, certain: bool) -> None:
    """Purge what the upload wrote, unless it was completed after all. What fails here is left for the sweep."""
    try:
        there = stores.receiving.stop(upload.id)
        if not there and stores.documents.has_version(upload.id):
            return
        stores.files.purge(upload.object_key)
        if there and certain:
            stores.receiving.forget(upload)
        elif there:
            stores.unit_of_work.run(lambda tx: stores.receiving.abandon(tx, upload))
    except Exception as error:  # noqa: BLE001 - whatever it is, the row stays, lapses and is swept
        log.warning("upload.left_to_sweep", record_id=upload.id, case_id=upload.case_id, **where(error))


@contextmanager
def stored(stores: Stores, progress: InProgress, source: Readable) -> Iterator[Stored]:
    """Stream the source into the object store, encrypted from its first byte; memory doesn't grow with it.

    Raises intake's TooLarge, what the source raises, Stopped, StoreAway.
    """
    upload = progress.upload
    keyset = new_keyset()
    with closing(Spool(stores.spool)) as spool:
        meter = Meter(_UntilStopped(source, progress), limit=stores.upload_limit, spool=spool)
        key = upload.object_key
        stores.files.put(key, EncryptingReader(meter, keyset, key.encode()))
        yield Stored(keyset=keyset, size=meter.size, sha256=meter.sha256, spool=spool)


def looked_at(file: Stored) -> Content:
    """What the file is, by its content. Raises intake's UnsupportedType and Unreadable."""
    inspection = inspect(file.spool)
    return Content(media_type=inspection.media_type, size=file.size, sha256=file.sha256, pages=inspection.pages)


def complete(stores: Stores, tx: Tx, upload: Upload, file: Stored, content: Content) -> Version:
    """Through the gate, take the row away; the version that is now to be written. Raises Erased, Frozen, Stopped."""
    tx.enter(upload.case_id)
    check_casework(stores, tx, upload.case_id)
    if not stores.receiving.complete(tx, upload):
        raise Stopped
    return Version(
        id=upload.id,
        case_id=upload.case_id,
        document_id=upload.document_id,
        number=upload.number,
        content=content,
        keyset=file.keyset,
        at=tx.now,
    )


def check_casework(stores: Stores, tx: Tx, case_id: str) -> None:
    """Raises ConsentRequired unless the family agreed to a case file (P4)."""
    if not stores.projections.casework(case_id, tx=tx).stands(tx.now):
        raise ConsentRequired(NO_CASEWORK)


def _why_stopped(stores: Stores, upload: Upload) -> Exception:
    if stores.unit_of_work.gates.state(upload.case_id) == CLOSED:
        return Erased(ERASED_SENTENCE)
    return Stopped()
