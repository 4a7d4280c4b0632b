"""How many calls the helpline had, by month, where the office counts them (P3): a number, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from shared.db import KeptRows


@dataclass(frozen=True, slots=True)
class HelplineCalls:
    """One counter a month."""

    rows: KeptRows

    def count_one(self, month: str) -> None:
        """One more in this month (`2026-11`)."""
        self.rows.rows.update_one({"_id": month}, {"$inc": {"count": 1}}, upsert=True)

    def by_month(self) -> list[tuple[str, int]]:
        """Every month that had any, oldest first."""
        return [(str(row["_id"]), int(row["count"])) for row in self.rows.rows.find().sort("_id", 1)]
