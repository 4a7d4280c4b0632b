"""Records of safeguarding: apart from every case, each under a key of its own, with a retention and a hold (P15)."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from services.case.model.disclosures import DECISIONS
from services.case.model.safeguarding import OPEN, OUTCOMES, STATES, Concern, key_of
from shared.db import Record, Register
from shared.db.unit_of_work import Tx
from shared.fields import Day, Field, Flag, Id, Optional, Subject, Time, one_of

_WHY = "Safeguarding is a recorded departure from the promise to erase: said in the statement, with its own retention."
_CLEAR: dict[str, Field] = {
    # Not `case_id`: nothing that goes by the case may come upon it.
    "about": Optional(Id()),
    "decision": one_of(*DECISIONS),
    "told_family": Flag(),
    "recorded_at": Time(),
    "recorded_by": Subject(),
    "state": one_of(*STATES),
    "reviewed_at": Optional(Time()),
    "reviewed_by": Optional(Subject()),
    "outcome": Optional(one_of(*OUTCOMES)),
    "hold_until": Optional(Day()),
    "alerted_at": Optional(Time()),
}


class Concerns:
    """Every write is its own transaction through no case's gate: a closed one must not stand in the way."""

    def __init__(self, register: Register) -> None:
        self._store = register.apart(
            "safeguarding", clear=_CLEAR, indexes=(("about", "_id"), ("state", "_id"), ("recorded_at",)), why=_WHY
        )

    def add(self, tx: Tx, concern: Concern) -> Concern:
        """Keep it; the key that `key_of` names is there already."""
        clear, personal = _parts(concern)
        key = key_of(concern.id)
        return _concern(self._store.insert(tx, id=concern.id, case_id=None, clear=clear, personal=personal, key=key))

    def save(self, tx: Tx, concern: Concern) -> Concern:
        """The record at its next version. Raises Changed when it isn't the version that was read."""
        clear, personal = _parts(concern)
        read = Record(id=concern.id, case_id=None, version=concern.version, clear={}, personal={})
        return _concern(self._store.change(tx, read, clear=clear, personal=personal, key=key_of(concern.id)))

    def get(self, id: str, *, tx: Tx | None = None) -> Concern | None:
        record = self._store.get(id, tx=tx)
        return None if record is None else _concern(record)

    def page(self, where: dict[str, Any], *, after: str | None, limit: int) -> list[Concern]:
        return [_concern(record) for record in self._store.find(where, after=after, limit=limit)]

    def alerted(self, tx: Tx, id: str, now: datetime) -> None:
        """The notifier has taken the alert; no change of the record that a reader would have to hear of."""
        self._store.rows.update_one({"_id": id}, {"$set": {"alerted_at": now}}, session=tx.session)

    def not_alerted(self, before: datetime) -> int:
        """How many open ones recorded before then have no alert on its way."""
        return self._store.rows.count_documents({"state": OPEN, "alerted_at": None, "recorded_at": {"$lt": before}})

    def over(self, before: datetime, today: date, *, limit: int) -> list[str]:
        """Ids of those recorded before then that no hold keeps; found by clear fields, whoever can still open them."""
        rows = self._store.rows.find(_over(before, today), {"_id": 1}).sort("recorded_at", 1).limit(limit)
        return [str(row["_id"]) for row in rows]

    def remove_over(self, tx: Tx, id: str, before: datetime, today: date) -> bool:
        """Delete it if it is still over; whether it was."""
        where = {"_id": id, **_over(before, today)}
        return self._store.rows.delete_one(where, session=tx.session).deleted_count == 1

    def is_kept(self, id: str) -> bool:
        return self._store.rows.count_documents({"_id": id}, limit=1) > 0


def _over(before: datetime, today: date) -> dict[str, Any]:
    no_hold = {"$or": [{"hold_until": None}, {"hold_until": {"$lt": today.isoformat()}}]}
    return {"recorded_at": {"$lte": before}, **no_hold}


def _parts(concern: Concern) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is clear of it, and what is sealed."""
    kept = {name: value for name, value in asdict(concern).items() if name not in ("id", "version")}
    kept["hold_until"] = None if concern.hold_until is None else concern.hold_until.isoformat()
    clear = {name: value for name, value in kept.items() if name in _CLEAR}
    return clear, {name: value for name, value in kept.items() if name not in _CLEAR}


def _concern(record: Record) -> Concern:
    clear = dict(record.clear)
    until = clear.pop("hold_until")
    return Concern(
        id=record.id,
        version=record.version,
        hold_until=None if until is None else date.fromisoformat(until),
        **clear,
        **record.personal,
    )
