"""Audit: who saw or changed what, in rows that hold ids, enums and times, written before the answer goes out."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from queue import SimpleQueue
from typing import Any

import bson
from pymongo import InsertOne
from pymongo.errors import PyMongoError

from shared.db import KeptRows, Register
from shared.db.keys.vault import OFFICE_KEY
from shared.db.unit_of_work import Tx
from shared.errors import Unavailable
from shared.fields import Count, Digest, Field, Flag, Id, Name, Optional, Sealed, Subject, Time, one_of
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
    # Of a row that is apart: what it is found by, and its case, sealed. `case_id` is null then.
    "about": Optional(Digest()),
    "sealed": Optional(Sealed()),
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
        self._vault = register.vault
        self.store: KeptRows = register.keep(
            "audit",
            clear=CLEAR,
            retention=_RETENTION,
            why=_WHY,
            indexes=(("case_id", "_id"), ("about", "_id")),
        )
        self._together = _Together(self.store)
        self._late: deque[dict[str, Any]] = deque(maxlen=_LATE_AT_MOST)
        self._lock = threading.Lock()

    def write(self, row: Mapping[str, Any]) -> None:
        """Write a row, and with it those that had to wait. Raises PyMongoError or Unavailable when it can't be."""
        self._together.write(self._stored({"_id": new_id(), **row}))
        self.catch_up()

    def write_in(self, tx: Tx, row: Mapping[str, Any]) -> None:
        """Write a row in the transaction that it is about. Raises ValueError as `KeptRows.insert`."""
        stored = self._stored({"_id": new_id(), **row})
        self.store.check(stored)
        tx.write(self.store.rows, InsertOne(stored))

    def write_or_keep(self, row: Mapping[str, Any]) -> bool:
        """Write a row, or keep it until the database is back (safeguarding); whether it was written now.

        What is kept is logged too: it is ids, enums and times, and would otherwise go with the process. Of what is
        apart the log names neither case nor record: more people read logs than may know.
        """
        kept = {"_id": new_id(), **row}
        try:
            self.store.insert(self._stored(kept))
        except (PyMongoError, Unavailable) as error:
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
        """Write what had to wait. Raises PyMongoError or Unavailable; what wasn't written goes on waiting."""
        while self._late:
            with self._lock:
                row = self._late.popleft() if self._late else None
            if row is None:
                return
            try:
                self.store.insert(self._stored(row))
            except (PyMongoError, Unavailable):
                with self._lock:
                    self._late.appendleft(row)
                raise

    def of(self, where_: Mapping[str, Any], *, after: str | None, limit: int, apart_too: bool) -> list[dict[str, Any]]:
        """Rows oldest first, from after that id. apart_too: also those about safeguarding, with their cases."""
        seen = {**where_, "apart": {"$ne": True}}
        if apart_too:
            by_case = {"case_id": where_["case_id"]} if "case_id" in where_ else None
            others = {name: value for name, value in where_.items() if name != "case_id"}
            seen = {**others, **({"$or": [by_case, {"about": self._hash_of(by_case["case_id"])}]} if by_case else {})}
        query = seen if after is None else {"$and": [seen, {"_id": {"$gt": after}}]}
        return [self._opened(row) for row in self.store.rows.find(query).sort("_id", 1).limit(limit)]

    def seal_older(self) -> int:
        """Seal the case of rows that are apart, and that an older version wrote with it in clear; how many."""
        count = 0
        for row in self.store.rows.find({"apart": True, "case_id": {"$ne": None}}):
            self.store.rows.replace_one({"_id": row["_id"]}, self._stored(row))
            count += 1
        return count

    # What is apart says nowhere in clear which case it is about

    def _stored(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row as it is written. Raises Unavailable while there is no key to seal with."""
        case_id = row.get("case_id")
        if not row.get("apart") or case_id is None:
            return row
        sealed = self._vault.seal({"case_id": case_id}, OFFICE_KEY, self._context(row["_id"]))
        return {**row, "case_id": None, "about": self._hash_of(case_id), "sealed": sealed}

    def _opened(self, row: dict[str, Any]) -> dict[str, Any]:
        """Raises Altered, KeysAway."""
        if row.get("sealed") is None:
            return row
        return {**row, **self._vault.open(row["sealed"], self._context(row["_id"]))}

    def _hash_of(self, case_id: str) -> str:
        return self._vault.mac(b"audit:" + case_id.encode()).hex()

    def _context(self, id: str) -> bytes:
        return bson.encode({"place": [self._vault.service, "audit", id]})
