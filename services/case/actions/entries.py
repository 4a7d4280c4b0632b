"""The timeline: entries are added, and amended by further ones (P9, P12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from services.case.actions.access import enter_agreed_case, read_one, require_readable
from services.case.model.cases import require_not_closed
from services.case.model.entries import MEETING, Entry, EntryView, check_at, check_level, check_meeting, check_text
from services.case.store import Stores
from services.case.store.queries import corrections_of
from shared.db.unit_of_work import Tx
from shared.errors import Invalid
from shared.ids import new_id

_UNKNOWN: Final = "No such entry is known here."


def add_entry(
    stores: Stores,
    *,
    case_id: str,
    kind: str,
    text: str,
    at: datetime | None,
    corrects: str | None,
    level: int | None,
    place: str | None,
    papers: Sequence[str],
    by: str,
    by_manager: bool,
    now: datetime,
) -> EntryView:
    """Add to the timeline; a level becomes the case's.

    Raises ConsentRequired before consent (P4), Forbidden for a level by anyone but a manager, Invalid for what doesn't
    fit, such as correcting an entry of another case, or a place of anything but a meeting; Conflict for a
    meeting on a closed case (P5).
    """
    check_meeting(kind, place, papers)
    entry = Entry(
        id=new_id(),
        case_id=case_id,
        kind=kind,
        text=check_text(text),
        happened_at=check_at(at, now),
        recorded_at=now,
        recorded_by=by,
        corrects=corrects,
        level=check_level(level, by_manager=by_manager),
        place=place,
        papers=tuple(papers),
    )

    def act(tx: Tx) -> EntryView:
        case = enter_agreed_case(stores, case_id=case_id, now=now, tx=tx)
        if kind == MEETING:
            require_not_closed(case)
        if corrects is not None and stores.entries.get(corrects, case_id=case_id, tx=tx) is None:
            raise Invalid(
                "An entry corrects another one of the same case. Nothing was stored.",
                errors={"corrects": ["This case has no such entry."]},
            )
        if level is not None and level != case.level:
            stores.cases.save(replace(case, level=level), tx=tx)
        return EntryView(entry=stores.entries.add(entry, tx=tx))

    return stores.unit_of_work.run(act)


def list_entries(stores: Stores, *, case_id: str, after: str | None, limit: int, now: datetime) -> list[EntryView]:
    """Up to `limit` entries recorded after that one, each with what corrects it. Raises NotFound or Erased."""
    entries = stores.entries.page({"case_id": case_id}, after, limit)
    corrections = corrections_of(stores.entries, case_id, [entry.id for entry in entries])
    require_readable(stores, case_id=case_id, now=now)
    return [EntryView(entry=entry, corrected_by=corrections.get(entry.id, ())) for entry in entries]


def read_entry(stores: Stores, *, case_id: str, entry_id: str, now: datetime) -> EntryView:
    """One entry with what corrects it. Raises NotFound or Erased."""
    corrections = corrections_of(stores.entries, case_id, [entry_id])
    entry = read_one(stores, stores.entries, case_id=case_id, id=entry_id, otherwise=_UNKNOWN, now=now)
    return EntryView(entry=entry, corrected_by=corrections.get(entry_id, ()))
