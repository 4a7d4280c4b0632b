"""Reviews, and the runs of the clock that count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from typing import Any

from services.consent.model import consents as c
from services.consent.model import reviews as v
from services.consent.model.clock import LEEWAY
from services.consent.model.reviews import Review
from shared.db import Collection, KeptRows, Record
from shared.db.unit_of_work import Tx
from shared.fields import Count, Day, Field, Flag, Id, Optional, Subject, Time, one_of
from shared.ids import new_id

REVIEW: dict[str, Field] = {
    # The consent that the year counts from: there is one review of each.
    "consent_id": Id(),
    "person_id": Optional(Id()),
    "due_on": Day(),
    "state": one_of(*v.State),
    "round": Count(),
    "asked_at": Optional(Time()),
    "handed_at": Optional(Time()),
    "reminded_at": Optional(Time()),
    "reminder_handed_at": Optional(Time()),
    "unreached": Flag(),
    "returned_at": Optional(Time()),
    "next_at": Optional(Time()),
    "decision": Optional(one_of(*v.Answer)),
    "answered_at": Optional(Time()),
    "channel": Optional(one_of(*c.CHANNELS)),
    "request_id": Optional(Id()),
}
CLOCK_RUN: dict[str, Field] = {"at": Time(), "ran_at": Time(), "confirmed_by": Optional(Subject())}
_SEALED = ("ways", "by")
_LAST = "last"


@dataclass(frozen=True, slots=True)
class Reviews:
    """The reviews of every case."""

    rows: Collection

    def get(self, id: str, tx: Tx | None = None) -> Review | None:
        record = self.rows.get(id, tx=tx)
        return None if record is None else _review(record)

    def find(self, where: Mapping[str, Any], *, after: str | None = None, limit: int = 0) -> list[Review]:
        return [_review(record) for record in self.rows.find(where, after=after, limit=limit)]

    def of_case(self, case_id: str, tx: Tx | None = None) -> list[Review]:
        return [_review(record) for record in self.rows.of_case(case_id, tx=tx)]

    def due(self, now: datetime, *, limit: int) -> list[Review]:
        """What the clock is to look at, the longest due first, by index alone."""
        where = {"next_at": {"$lte": now}}
        return [_review(r) for r in self.rows.find(where, limit=limit, sort=(("next_at", 1), ("_id", 1)))]

    def add(self, tx: Tx, new: Review) -> Review:
        self.rows.insert(tx, id=new.id, case_id=new.case_id, clear=_clear(new), personal=_personal(new))
        return new

    def save(self, tx: Tx, after: Review) -> Review:
        """Write it anew. Raises Changed when it isn't the version that was read."""
        record = Record(id=after.id, case_id=after.case_id, version=after.version, clear={}, personal={})
        self.rows.change(tx, record, clear=_clear(after), personal=_personal(after))
        return replace(after, version=after.version + 1)


@dataclass(frozen=True, slots=True)
class ClockRuns:
    """The last run of the clock, every one that somebody confirmed, and every one that time travel took ahead."""

    rows: KeptRows

    def last(self, tx: Tx | None = None) -> datetime | None:
        """The time that the last run was about; with time travel it can lie ahead."""
        row = self.rows.rows.find_one({"_id": _LAST}, session=None if tx is None else tx.session)
        return None if row is None else row["at"]

    def said_at(self, moment: datetime) -> datetime:
        """What time it was by the clock at that moment: its own, or a later one where time travel had taken it."""
        row = self.rows.rows.find_one({"ran_at": {"$lte": moment}}, sort=[("ran_at", -1)])
        return moment if row is None else max(moment, row["at"])

    def put(self, tx: Tx, at: datetime, *, confirmed_by: str | None) -> None:
        row = {"at": at, "ran_at": tx.now, "confirmed_by": confirmed_by}
        if confirmed_by is not None or at > tx.now + LEEWAY:
            self.rows.insert({"_id": new_id(), **row}, session=tx.session)
        self.rows.rows.replace_one({"_id": _LAST}, row, upsert=True, session=tx.session)


def _clear(one: Review) -> dict[str, Any]:
    out = {name: getattr(one, name) for name in REVIEW}
    out.update(due_on=one.due_on.isoformat(), state=str(one.state))
    out["decision"] = None if one.decision is None else str(one.decision)
    return out


def _personal(one: Review) -> dict[str, Any]:
    return {name: getattr(one, name) for name in _SEALED}


def _review(record: Record) -> Review:
    kept: dict[str, Any] = {f.name: record.clear.get(f.name) for f in fields(Review) if f.name in REVIEW}
    kept["due_on"] = date.fromisoformat(str(kept["due_on"]))
    kept["state"] = v.State(str(kept["state"]))
    kept["decision"] = None if kept["decision"] is None else v.Answer(str(kept["decision"]))
    sealed: dict[str, Any] = {name: record.personal.get(name) for name in _SEALED}
    return Review(id=record.id, case_id=str(record.case_id), version=record.version, **kept, **sealed)
