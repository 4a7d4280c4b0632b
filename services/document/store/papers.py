"""Paper files: while the case lives, while an erasure waits for them, and what is kept of their end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument

from services.document.model.papers import HELD, METHODS, OUT, STATES, Disposed, Movement, PaperFile
from shared.db import Disposal, Record, Register
from shared.db.unit_of_work import Tx
from shared.db.vault import Vault
from shared.fields import Count, Field, Id, Time, one_of

PAPER: Mapping[str, Field] = {"state": one_of(*STATES), "at": Time()}
TO_CERTIFY: Mapping[str, Field] = {"state": one_of(HELD, OUT), "at": Time()}
DISPOSAL: Mapping[str, Field] = {"case_id": Id(), "method": one_of(*METHODS), "at": Time()}
COUNTER: Mapping[str, Field] = {"value": Count()}
_LABELS = "labels"


def paper_key(case_id: str) -> str:
    """The name of the key that seals what an erasure leaves of a case's paper until it is certified."""
    return f"paper:{case_id}"


class Papers:
    """Live paper files, those that an erasure waits for (late, under a key of their own), and disposals."""

    def __init__(self, register: Register, vault: Vault) -> None:
        self._vault = vault
        self.papers = register.collection("paper_files", clear=PAPER, disposal=Disposal.ERASE)
        self.late = register.collection("papers_to_certify", clear=TO_CERTIFY, disposal=Disposal.LATE)
        self.disposals = register.keep(
            "paper_disposals",
            clear=DISPOSAL,
            retention=None,
            why="the certificate says how each paper file went, and when",
            indexes=(("case_id", "_id"),),
        )
        self.counters = register.keep(
            "counters", clear=COUNTER, retention=None, why="the next label of a paper file; about no case"
        )

    # While the case lives

    def next_number(self) -> int:
        """A number that no other paper file has; one is lost when its registration fails."""
        row = self.counters.rows.find_one_and_update(
            {"_id": _LABELS}, {"$inc": {"value": 1}}, upsert=True, return_document=ReturnDocument.AFTER
        )
        return int(row["value"]) if row else 1

    def get(self, paper_id: str, *, tx: Tx | None = None) -> PaperFile | None:
        record = self.papers.get(paper_id, tx=tx)
        return None if record is None else _paper(record)

    def of_case(self, case_id: str, *, after: str | None, limit: int, tx: Tx | None = None) -> list[PaperFile]:
        found = self.papers.find({"case_id": case_id}, after=after, limit=limit, tx=tx)
        return [_paper(record) for record in found]

    def add(self, tx: Tx, paper: PaperFile) -> None:
        clear = {"state": paper.state, "at": paper.registered_at}
        self.papers.insert(tx, id=paper.id, case_id=paper.case_id, clear=clear, personal=_sealed(paper))

    def change(self, tx: Tx, before: PaperFile, after: PaperFile) -> PaperFile:
        """Write it anew. Raises Changed when it isn't as `before` any more."""
        record = Record(
            id=before.id,
            case_id=before.case_id,
            version=before.etag,
            clear={"state": before.state, "at": before.registered_at},
            personal={},
        )
        return _paper(self.papers.change(tx, record, clear={"state": after.state}, personal=_sealed(after)))

    # While an erasure waits for it

    def late_get(self, paper_id: str, *, tx: Tx | None = None) -> PaperFile | None:
        record = self.late.get(paper_id, tx=tx)
        return None if record is None else _late(record)

    def late_of_case(self, case_id: str, *, tx: Tx | None = None) -> list[PaperFile]:
        return [_late(record) for record in self.late.of_case(case_id, tx=tx)]

    def is_late(self, case_id: str, *, tx: Tx | None = None) -> bool:
        session = None if tx is None else tx.session
        return self.late.rows.count_documents({"case_id": case_id}, limit=1, session=session) > 0

    def make_late(self, tx: Tx, paper: PaperFile) -> None:
        """Keep of it what its certification needs, under the case's paper key, and delete the rest."""
        self.late.insert(
            tx,
            id=paper.id,
            case_id=paper.case_id,
            clear={"state": paper.state, "at": tx.now},
            personal={
                "label": paper.label,
                "location": paper.location,
                "out_with": paper.out_with,
                "return_to": None,
            },
            key=paper_key(paper.case_id),
        )
        self.papers.rows.delete_one({"_id": paper.id}, session=tx.session)

    def change_late(self, tx: Tx, before: PaperFile, after: PaperFile) -> PaperFile:
        record = self.late.get(before.id, tx=tx)
        if record is None:
            raise LookupError("the late paper file went while it was being changed")
        personal = {**record.personal, "out_with": after.out_with}
        key = paper_key(before.case_id)
        return _late(self.late.change(tx, record, clear={"state": after.state}, personal=personal, key=key))

    def forget_late(self, tx: Tx, paper: PaperFile) -> None:
        self.late.rows.delete_one({"_id": paper.id}, session=tx.session)

    def make_late_key(self, case_id: str) -> None:
        self._vault.create_key(paper_key(case_id))

    def destroy_late_key(self, case_id: str) -> None:
        self._vault.destroy_key(paper_key(case_id))

    # What is kept

    def add_disposal(self, tx: Tx, paper: PaperFile, method: str) -> None:
        row = {"_id": paper.id, "case_id": paper.case_id, "method": method, "at": tx.now}
        self.disposals.insert(row, session=tx.session)

    def disposal(self, paper_id: str, *, tx: Tx | None = None) -> PaperFile | None:
        session = None if tx is None else tx.session
        row = self.disposals.rows.find_one({"_id": paper_id}, session=session)
        return None if row is None else _certified(row)

    def disposals_of(self, case_id: str) -> list[PaperFile]:
        return [_certified(row) for row in self.disposals.rows.find({"case_id": case_id}).sort("_id", 1)]


def _sealed(paper: PaperFile) -> dict[str, Any]:
    return {
        "label": paper.label,
        "location": paper.location,
        "description": paper.description,
        "pages": paper.pages,
        "out_with": paper.out_with,
        "movements": [asdict(movement) for movement in paper.movements],
        "disposal": None if paper.disposal is None else asdict(paper.disposal),
    }


def _paper(record: Record) -> PaperFile:
    kept = record.personal
    disposal = None if kept["disposal"] is None else Disposed(**kept["disposal"])
    return PaperFile(
        id=record.id,
        case_id=str(record.case_id),
        etag=record.version,
        state=record.clear["state"],
        label=kept["label"],
        location=kept["location"],
        description=kept["description"],
        pages=kept["pages"],
        out_with=kept["out_with"],
        registered_at=record.clear["at"],
        movements=tuple(Movement(**movement) for movement in kept["movements"]),
        disposal=disposal,
        disposed_at=None if disposal is None else disposal.at,
    )


def _late(record: Record) -> PaperFile:
    return PaperFile(
        id=record.id,
        case_id=str(record.case_id),
        etag=record.version,
        state=record.clear["state"],
        label=record.personal["label"],
        location=record.personal["location"],
        description=None,
        pages=None,
        out_with=record.personal["out_with"],
        registered_at=None,
    )


def _certified(row: Mapping[str, Any]) -> PaperFile:
    """What is left of a paper file once it is certified: an id, how it went, and when."""
    at: datetime = row["at"]
    return PaperFile(
        id=row["_id"],
        case_id=row["case_id"],
        etag=0,
        state=row["method"],
        label=None,
        location=None,
        description=None,
        pages=None,
        out_with=None,
        registered_at=None,
        disposed_at=at,
    )
