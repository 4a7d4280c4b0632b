"""Uploads on their way in: a row per upload, with its exact object key, before its first byte is read.

The row beats while its upload lives. Who finds a row that has stopped beating purges its object; since a process that
was only slow may wake up and write after that, the key of such an upload is remembered for a week and purged again.
Beats are told and judged by the database's clock, so that processes needn't agree on the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from services.document.model.documents import object_key
from shared.db import Disposal, Register
from shared.db.unit_of_work import Tx
from shared.fields import Count, Field, Id, Time, one_of

LIVE, ABORTED = "live", "aborted"
LEASE = timedelta(seconds=10)
_REMEMBERED = timedelta(days=7)
_BEAT = [{"$set": {"beat_at": "$$NOW"}}]
_STALE_BEFORE = {"$subtract": ["$$NOW", int(LEASE.total_seconds() * 1000)]}
_STALE = {"$expr": {"$lt": ["$beat_at", _STALE_BEFORE]}}

RECEIVING: Mapping[str, Field] = {
    "document_id": Id(),
    "number": Count(),
    "state": one_of(LIVE, ABORTED),
    "beat_at": Time(),
}
ABANDONED: Mapping[str, Field] = {"case_id": Id(), "document_id": Id(), "number": Count(), "at": Time()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One upload: which version of which document it brings."""

    id: str
    case_id: str
    document_id: str
    number: int

    @property
    def object_key(self) -> str:
        return object_key(self.case_id, self.document_id, self.number)


class Receiving:
    """The rows of uploads in progress, and the keys of those that were given up for dead."""

    def __init__(self, register: Register) -> None:
        self.store = register.collection(
            "receiving", clear=RECEIVING, disposal=Disposal.ERASE, indexes=(("beat_at",), ("document_id",))
        )
        self.abandoned = register.keep(
            "abandoned_uploads",
            clear=ABANDONED,
            retention=_REMEMBERED,
            why="a process that was only slow may still write an object under this key: it is purged again",
            indexes=(("case_id",), ("document_id",)),
        )

    # The uploader's part

    def begin(self, tx: Tx, upload: Upload) -> None:
        clear = {
            "document_id": upload.document_id,
            "number": upload.number,
            "state": LIVE,
            "beat_at": tx.now,
        }
        self.store.insert(tx, id=upload.id, case_id=upload.case_id, clear=clear)
        # The first beat too: by a clock an hour ahead it would be alive for an hour after its process died, and no
        # erasure could go past it; by one behind it would be dead before it began.
        self.store.rows.update_one({"_id": upload.id}, _BEAT, session=tx.session)

    def numbers_of(self, tx: Tx, document_id: str) -> list[int]:
        """Version numbers that uploads of this document have, or had when they died."""
        numbers = []
        for rows in (self.store.rows, self.abandoned.rows):
            found = rows.find({"document_id": document_id}, {"number": 1}, session=tx.session)
            numbers += [int(row["number"]) for row in found]
        return numbers

    def beat(self, upload_id: str) -> bool:
        """Say that it lives; False when it was told to stop, or given up for dead."""
        told = self.store.rows.update_one({"_id": upload_id, "state": LIVE}, _BEAT)
        return told.matched_count == 1

    def complete(self, tx: Tx, upload: Upload) -> bool:
        """Take the row away in the transaction that writes the version; False when it may not be completed."""
        done = self.store.rows.delete_one({"_id": upload.id, "state": LIVE}, session=tx.session)
        return done.deleted_count == 1

    def stop(self, upload_id: str) -> bool:
        """Make sure it can't be completed any more; False when there is no row (completed, or given up for dead)."""
        return self.store.rows.update_one({"_id": upload_id}, {"$set": {"state": ABORTED}}).matched_count == 1

    def forget(self, upload: Upload) -> None:
        """Its object is purged, and nothing of it can be written any more."""
        self.store.rows.delete_one({"_id": upload.id})

    # The sweep's and the erasure's part

    def stop_case(self, case_id: str) -> None:
        self.store.rows.update_many({"case_id": case_id}, {"$set": {"state": ABORTED}})

    def of_case(self, case_id: str) -> list[Upload]:
        return [_upload(row) for row in self.store.rows.find({"case_id": case_id})]

    def lapsed(self, case_id: str | None = None) -> list[Upload]:
        """Uploads that have stopped beating, each now stopped for good."""
        where = _STALE if case_id is None else {"case_id": case_id, **_STALE}
        return [
            _upload(row)
            for row in self.store.rows.find(where)
            if self.store.rows.update_one({"_id": row["_id"], **_STALE}, {"$set": {"state": ABORTED}}).matched_count
        ]

    def abandon(self, tx: Tx, upload: Upload) -> None:
        """Its object is purged, but its process may wake up: remember the key."""
        self.store.rows.delete_one({"_id": upload.id}, session=tx.session)
        row = {
            "case_id": upload.case_id,
            "document_id": upload.document_id,
            "number": upload.number,
            "at": tx.now,
        }
        known = self.abandoned.rows.find_one({"_id": upload.id}, session=tx.session)
        if known is None:
            self.abandoned.insert({"_id": upload.id, **row}, session=tx.session)

    def abandoned_uploads(self) -> list[Upload]:
        return [_upload(row) for row in self.abandoned.rows.find()]

    def keys_of(self, case_id: str) -> list[str]:
        """The exact keys under which something unfinished may lie in the object store."""
        where = {"case_id": case_id}
        rows = [*self.store.rows.find(where), *self.abandoned.rows.find(where)]
        return sorted({_upload(row).object_key for row in rows})

    def is_receiving(self, document_id: str, number: int) -> bool:
        where = {"document_id": document_id, "number": number}
        return self.store.rows.count_documents(where, limit=1) > 0


def _upload(row: Mapping[str, Any]) -> Upload:
    return Upload(id=row["_id"], case_id=row["case_id"], document_id=row["document_id"], number=int(row["number"]))
