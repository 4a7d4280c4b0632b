"""Labels of paper files, and what is kept of their end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo import ReturnDocument

from services.document.model.papers import CabinetMove, PaperDisposal, PaperFile, Sought, number_in
from shared.db import KeptRows
from shared.db.repository import session_of
from shared.db.unit_of_work import Tx

_LABELS = "labels"


def paper_key(case_id: str) -> str:
    """The name of the key that seals what an erasure leaves of a case's paper until it is certified."""
    return f"paper:{case_id}"


def next_number(counters: KeptRows) -> int:
    """A number that no other paper file has; one is lost when its registration fails."""
    row = counters.rows.find_one_and_update(
        {"_id": _LABELS}, {"$inc": {"value": 1}}, upsert=True, return_document=ReturnDocument.AFTER
    )
    return int(row["value"]) if row else 1


def sought_in_clear(sought: Sought) -> dict[str, Any]:
    """The query, by clear fields, for paper files that may be those that are sought.

    What version 0.2 registered has no number in clear.
    """
    where: dict[str, Any] = {} if sought.state is None else {"state": sought.state}
    if sought.label is not None:
        where["number"] = {"$in": [number_in(sought.label), None]}
    return where


def count_moved(moves: KeptRows, act: str, count: int, *, tx: Tx) -> None:
    """Count paper files that this move of a cabinet has moved."""
    change = {"$inc": {"moved": count}, "$setOnInsert": {"at": tx.now}}
    moves.rows.update_one({"_id": act}, change, upsert=True, session=tx.session)


def moved_so_far(moves: KeptRows, act: str, *, tx: Tx | None = None) -> CabinetMove:
    """How many paper files this move of a cabinet has moved; none where that isn't known any more."""
    row = moves.rows.find_one({"_id": act}, session=session_of(tx))
    return CabinetMove(id=act, moved=int(row["moved"]) if row else 0)


def add_disposal(disposals: KeptRows, paper: PaperFile, *, tx: Tx) -> None:
    """Keep how a paper file went that is disposed of."""
    row = {"_id": paper.id, "case_id": paper.case_id, "method": paper.state, "at": paper.disposed_at}
    disposals.insert(row, session=tx.session)


def disposal_of(disposals: KeptRows, paper_id: str, *, tx: Tx | None = None) -> PaperDisposal | None:
    row = disposals.rows.find_one({"_id": paper_id}, session=session_of(tx))
    return None if row is None else _disposal(row)


def disposals_of_case(disposals: KeptRows, case_id: str) -> list[PaperDisposal]:
    return [_disposal(row) for row in disposals.rows.find({"case_id": case_id}).sort("_id", 1)]


def _disposal(row: Mapping[str, Any]) -> PaperDisposal:
    return PaperDisposal(id=row["_id"], case_id=row["case_id"], state=row["method"], disposed_at=row["at"])
