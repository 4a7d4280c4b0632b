"""How many calls the helpline had, by month, where the office counts them (P3): one counter a month, nothing else."""

from __future__ import annotations

from shared.db import KeptRows


def add_call(calls: KeptRows, month: str) -> None:
    """One more in this month (`2026-11`)."""
    calls.rows.update_one({"_id": month}, {"$inc": {"count": 1}}, upsert=True)


def calls_by_month(calls: KeptRows) -> list[tuple[str, int]]:
    """Every month that had any, oldest first."""
    return [(str(row["_id"]), int(row["count"])) for row in calls.rows.find().sort("_id", 1)]
