"""Entries: their words sealed; their kind, their times and what they correct clear."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from services.case.model.entries import KINDS, MEETING, OUTCOME, Entry
from shared.db import Disposal, Record, Register
from shared.db.unit_of_work import Tx
from shared.fields import Count, Id, Optional, Subject, Time, one_of


class Entries:
    """The words of an entry are in `personal`; its kind, its times and what it corrects are clear."""

    def __init__(self, register: Register) -> None:
        self._store = register.collection(
            "entries",
            clear={
                "kind": one_of(*KINDS),
                "happened_at": Time(),
                "recorded_at": Time(),
                "recorded_by": Subject(),
                "corrects": Optional(Id()),
                "level": Optional(Count()),
            },
            disposal=Disposal.ERASE,
            indexes=(("case_id", "kind"), ("case_id", "corrects")),
        )

    def add(self, tx: Tx, entry: Entry) -> Entry:
        clear = {
            "kind": entry.kind,
            "happened_at": entry.at,
            "recorded_at": entry.recorded_at,
            "recorded_by": entry.recorded_by,
            "corrects": entry.corrects,
            "level": entry.level,
        }
        personal: dict[str, Any] = {"text": entry.text}
        if entry.kind == MEETING:
            personal |= {"place": entry.place, "papers": list(entry.papers)}
        return _entry(self._store.insert(tx, id=entry.id, case_id=entry.case_id, clear=clear, personal=personal))

    def get(self, case_id: str, entry_id: str, *, tx: Tx | None = None) -> Entry | None:
        record = self._store.get(entry_id, tx=tx)
        return None if record is None or record.case_id != case_id else _entry(record)

    def has_outcome(self, case_id: str, *, tx: Tx) -> bool:
        return self._store.first({"case_id": case_id, "kind": OUTCOME}, tx=tx) is not None

    def last_at(self, case_id: str) -> datetime | None:
        """When the last one was recorded."""
        row = self._store.rows.find_one({"case_id": case_id}, {"recorded_at": 1}, sort=[("_id", -1)])
        return None if row is None else row["recorded_at"]

    def page(self, case_id: str, *, after: str | None, limit: int) -> list[Entry]:
        return [_entry(record) for record in self._store.find({"case_id": case_id}, after=after, limit=limit)]

    def corrections(self, case_id: str, corrected: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """The ids of what corrects each of these, oldest first."""
        rows = self._store.rows.find({"case_id": case_id, "corrects": {"$in": list(corrected)}}, {"corrects": 1}).sort(
            "_id", 1
        )
        found: dict[str, tuple[str, ...]] = {}
        for row in rows:
            found[row["corrects"]] = (*found.get(row["corrects"], ()), str(row["_id"]))
        return found


def _entry(record: Record) -> Entry:
    clear = dict(record.clear)
    return Entry(
        id=record.id,
        case_id=str(record.case_id),
        version=record.version,
        at=clear.pop("happened_at"),
        text=record.personal["text"],
        place=record.personal.get("place"),
        papers=tuple(record.personal.get("papers") or ()),
        **clear,
    )
