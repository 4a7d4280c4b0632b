"""Alerts for the safeguarding lead: the number of a record, whether its email has gone, and nothing else."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.db import Register
from shared.db.unit_of_work import Row, Tx
from shared.fields import Count, Optional, Time

_KEPT = timedelta(days=30)


class Alerts:
    """One row an alert, by the id of the record it is about. No case is named."""

    def __init__(self, register: Register) -> None:
        self._rows = register.keep(
            "alerts",
            clear={"at": Time(), "tries": Count(), "sent_at": Optional(Time())},
            retention=_KEPT,
            why="an alert that is asked for again is not sent again once it has gone",
        )

    def add(self, tx: Tx, id: str) -> bool:
        """Keep it unless it is known; whether it was news."""
        if self._rows.rows.find_one({"_id": id}, session=tx.session) is not None:
            return False
        self._rows.insert({"_id": id, "at": tx.now, "tries": 0, "sent_at": None}, session=tx.session)
        return True

    def get(self, id: str) -> Row | None:
        return self._rows.rows.find_one({"_id": id})

    def tried(self, id: str) -> None:
        self._rows.rows.update_one({"_id": id}, {"$inc": {"tries": 1}})

    def sent(self, id: str, now: datetime) -> None:
        self._rows.rows.update_one({"_id": id}, {"$set": {"sent_at": now}})

    def unsent(self, before: datetime) -> int:
        """How many from before then have not gone."""
        return self._rows.rows.count_documents({"sent_at": None, "at": {"$lt": before}})
