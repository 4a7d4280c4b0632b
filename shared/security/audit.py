"""Audit: who saw or changed what, in rows that hold ids, enums and times, written before the answer goes out."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from queue import SimpleQueue
from typing import Any

from pymongo import InsertOne
from pymongo.errors import PyMongoError

from shared.db import KeptRows, Register
from shared.db.unit_of_work import Tx
from shared.fields import Count, Digest, Field, Flag, Id, Name, Optional, Subject, Time, one_of
from shared.ids import new_id
from shared.ops.logs import log, where
from shared.security.roles import ROLES, SERVICE

ANONYMOUS = "anonymous"
OUTCOMES = one_of("done", "refused", "denied", "failed")
_ROLES = one_of(*ROLES, SERVICE, "none")
CLEAR: Mapping[str, Field] = {
    "at": Time(),
    "sub": Subject(),
    # The role that allowed the request, or one of the caller's roles where none did.
    "role": _ROLES,
    "action": Name(),
    "case_id": Optional(Id()),
    "record_id": Optional(Id()),
    "outcome": OUTCOMES,
    "status": Count(),
    "trace_id": Optional(Digest()),
    # About safeguarding: shown to data protection alone, so that other roles can't see that it exists (P15).
    "apart": Optional(Flag()),
}
_RETENTION = timedelta(days=6 * 365)
_WHY = "Accountability (UK GDPR Art. 5(2)): who saw or changed what; ids, enums and times alone."
_LATE_AT_MOST = 10_000


@dataclass(slots=True)
class _Waiting:
    """One row to be written, and what became of it."""

    row: Mapping[str, Any]
    written: bool = False
    error: Exception | None = None


class _Together:
    """Rows of several requests in one insert, so that they wait for the disk together.

    The thread that holds the lock writes the rows of all waiting threads, and an error is raised in each of them. A
    single request is written at once.
    """

    def __init__(self, store: KeptRows) -> None:
        self._store = store
        self._turn = threading.Lock()
        self._arrived: SimpleQueue[_Waiting] = SimpleQueue()

    def write(self, row: Mapping[str, Any]) -> None:
        """Return once the row is written. Raises PyMongoError when it isn't, and ValueError as `KeptRows.insert`."""
        self._store.check(row)
        mine = _Waiting(row)
        self._arrived.put(mine)
        with self._turn:
            if not (mine.written or mine.error):
                self._write_all()
        if mine.error is not None:
            raise mine.error

    def _write_all(self) -> None:
        waiting = [self._arrived.get() for _ in range(self._arrived.qsize())]
        rows = [dict(one.row) for one in waiting]
        try:
            self._store.rows.insert_many(rows) if len(rows) > 1 else self._store.rows.insert_one(rows[0])
        except Exception as error:  # noqa: BLE001 - raised again by each whose row it was
            for one in waiting:
                one.error = error
        else:
            for one in waiting:
                one.written = True


class Audit:
    """The audit rows of one service."""

    def __init__(self, register: Register) -> None:
        self.store: KeptRows = register.keep(
            "audit",
            clear=CLEAR,
            retention=_RETENTION,
            why=_WHY,
            indexes=(("case_id", "_id"),),
        )
        self._together = _Together(self.store)
        self._late: deque[dict[str, Any]] = deque(maxlen=_LATE_AT_MOST)
        self._lock = threading.Lock()

    def write(self, row: Mapping[str, Any]) -> None:
        """Write a row, and with it those that had to wait. Raises PyMongoError when it can't be written."""
        self._together.write({"_id": new_id(), **row})
        self.catch_up()

    def write_in(self, tx: Tx, row: Mapping[str, Any]) -> None:
        """Write a row in the transaction that it is about. Raises ValueError as `KeptRows.insert`."""
        self.store.check(row)
        tx.write(self.store.rows, InsertOne({"_id": new_id(), **row}))

    def write_or_keep(self, row: Mapping[str, Any]) -> bool:
        """Write a row, or keep it until the database is back (safeguarding); whether it was written now.

        What is kept is logged too: it is ids, enums and times, and would otherwise go with the process. Of what is
        apart the log names neither case nor record: more people read logs than may know.
        """
        kept = {"_id": new_id(), **row}
        try:
            self.store.insert(kept)
        except PyMongoError as error:
            with self._lock:
                self._late.append(kept)
            names = () if row.get("apart") else ("record_id", "case_id")
            told = {name: row.get(name) for name in names}
            log.warning(
                "audit-late",
                sub=row["sub"],
                action=row["action"],
                outcome=row["outcome"],
                status=row["status"],
                type=where(error)["type"],
                **{name: value for name, value in told.items() if value is not None},
            )
            return False
        return True

    def catch_up(self) -> None:
        """Write what had to wait. Raises PyMongoError; what wasn't written goes on waiting."""
        while self._late:
            with self._lock:
                row = self._late.popleft() if self._late else None
            if row is None:
                return
            try:
                self.store.insert(row)
            except PyMongoError:
                with self._lock:
                    self._late.appendleft(row)
                raise

    def of(self, where_: Mapping[str, Any], *, after: str | None, limit: int, apart_too: bool) -> list[dict[str, Any]]:
        """Rows oldest first, from after that id. apart_too: also those about safeguarding."""
        seen = dict(where_) if apart_too else {**where_, "apart": {"$ne": True}}
        query = seen if after is None else {"$and": [seen, {"_id": {"$gt": after}}]}
        return list(self.store.rows.find(query).sort("_id", 1).limit(limit))
