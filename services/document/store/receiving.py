"""Uploads on their way in: a row per upload, with its exact object key, before its first byte is read.

The row's heartbeat goes on while its upload lives. A process that finds a row without one purges its object; since a
process that was only slow may go on writing after that, the key of such an upload is kept for a week and purged again.
Heartbeats are written and judged by the database's clock, so that processes needn't agree on the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from services.document.model.documents import ABORTED, LIVE, Upload
from shared.db import Disposal, Register
from shared.db.unit_of_work import Tx
from shared.fields import Count, Id, Optional, Time, one_of

LEASE = timedelta(seconds=10)
_REMEMBERED = timedelta(days=7)
_BEAT = [{"$set": {"beat_at": "$$NOW"}}]
_STALE_BEFORE = {"$subtract": ["$$NOW", int(LEASE.total_seconds() * 1000)]}
_STALE = {"$expr": {"$lt": ["$beat_at", _STALE_BEFORE]}}


class Receiving:
    """The rows of uploads in progress, and the keys of those whose process died."""

    def __init__(self, register: Register) -> None:
        self.store = register.repository(
            "receiving",
            Upload,
            clear={
                "document_id": Id(),
                "number": Count(),
                "place": Optional(Count()),
                "moved_from": Optional(Id()),
                "state": one_of(LIVE, ABORTED),
                "beat_at": Time(),
            },
            disposal=Disposal.ERASE,
            indexes=(("beat_at",), ("document_id",), ("moved_from",)),
            absent_if_none=("place", "moved_from"),
            unbound=("state", "beat_at"),
            exported=False,
        )
        self.abandoned = register.keep(
            "abandoned_uploads",
            clear={
                "case_id": Id(),
                "document_id": Id(),
                "number": Count(),
                "place": Optional(Count()),
                "at": Time(),
            },
            retention=_REMEMBERED,
            why="a process that was only slow may still write an object under this key: it is purged again",
            indexes=(("case_id",), ("document_id",)),
        )

    # The uploader's part

    def begin(self, upload: Upload, *, tx: Tx) -> None:
        self.store.add(upload, tx=tx)
        # By the database's clock from the start. With a process's clock an hour ahead the row would outlive its process
        # by an hour and hold up every erasure; with one behind it would be dead before it began.
        self.store.rows.update_one({"_id": upload.id}, _BEAT, session=tx.session)

    def numbers_of(self, document_id: str, *, tx: Tx) -> list[int]:
        """Version numbers that uploads of this document have, or had when their process died."""
        numbers = []
        for rows in (self.store.rows, self.abandoned.rows):
            found = rows.find({"document_id": document_id}, {"number": 1}, session=tx.session)
            numbers += [int(row["number"]) for row in found]
        return numbers

    def beat(self, upload_id: str) -> bool:
        """Write a heartbeat; False when the upload was told to stop, or was taken for dead."""
        return self.store.rows.update_one({"_id": upload_id, "state": LIVE}, _BEAT).matched_count == 1

    def complete(self, upload: Upload, *, tx: Tx) -> bool:
        """Take the row away in the transaction that writes the version; False when it may not be completed."""
        done = self.store.rows.delete_one({"_id": upload.id, "state": LIVE}, session=tx.session)
        return done.deleted_count == 1

    def stop(self, upload_id: str) -> bool:
        """Make sure it can't be completed any more; False when there is no row (completed, or taken for dead)."""
        return self.store.rows.update_one({"_id": upload_id}, {"$set": {"state": ABORTED}}).matched_count == 1

    def delete(self, upload: Upload) -> None:
        """Its object is purged, and nothing of it can be written any more."""
        self.store.rows.delete_one({"_id": upload.id})

    # The sweep's and the erasure's part

    def stop_case(self, case_id: str) -> None:
        """Stop the case's uploads, and the copies that are made of its documents for another case."""
        self.store.rows.update_many(_about(case_id), {"$set": {"state": ABORTED}})

    def about_case(self, case_id: str) -> list[Upload]:
        """The case's uploads, and the copies that are made of its documents for another case."""
        return self.store.find(_about(case_id))

    def lapsed(self, case_id: str | None = None) -> list[Upload]:
        """Uploads whose heartbeat has stopped, each now stopped for good. case_id: as in `about_case`."""
        where = _STALE if case_id is None else {**_about(case_id), **_STALE}
        return [
            upload
            for upload in self.store.find(where)
            if self.store.rows.update_one({"_id": upload.id, **_STALE}, {"$set": {"state": ABORTED}}).matched_count
        ]

    def abandon(self, upload: Upload, *, tx: Tx) -> None:
        """Its object is purged, but its process may go on: keep the key."""
        self.store.rows.delete_one({"_id": upload.id}, session=tx.session)
        if self.abandoned.rows.find_one({"_id": upload.id}, session=tx.session) is None:
            row = {"case_id": upload.case_id, "document_id": upload.document_id, "number": upload.number, "at": tx.now}
            place = {} if upload.place is None else {"place": upload.place}
            self.abandoned.insert({"_id": upload.id, **row, **place}, session=tx.session)

    def abandoned_uploads(self) -> list[Upload]:
        return [_upload(row) for row in self.abandoned.rows.find()]

    def keys_of(self, case_id: str) -> list[str]:
        """The exact keys under which something unfinished may lie in the object store."""
        abandoned = map(_upload, self.abandoned.rows.find({"case_id": case_id}))
        return sorted({upload.object_key for upload in (*self.store.of_case(case_id), *abandoned)})


def _upload(row: Mapping[str, Any]) -> Upload:
    return Upload(
        id=row["_id"],
        case_id=row["case_id"],
        document_id=row["document_id"],
        number=int(row["number"]),
        place=row.get("place"),
    )


def _about(case_id: str) -> dict[str, Any]:
    return {"$or": [{"case_id": case_id}, {"moved_from": case_id}]}
