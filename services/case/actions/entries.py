"""The timeline: entries are added, and amended by further ones (P9, P12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from services.case.actions.cases import agreed_to, readable
from services.case.model.cases import require_not_closed
from services.case.model.entries import MEETING, Entry, EntryView, check_at, check_level, check_meeting, check_text
from services.case.store import CaseStores
from shared.db.unit_of_work import Tx
from shared.errors import Invalid, NotFound
from shared.ids import new_id


def add_entry(
    stores: CaseStores,
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
        at=check_at(at, now),
        recorded_at=now,
        recorded_by=by,
        corrects=corrects,
        level=check_level(level, by_manager=by_manager),
        place=place,
        papers=tuple(papers),
    )

    def act(tx: Tx) -> EntryView:
        case = agreed_to(stores, tx, case_id, now)
        if kind == MEETING:
            require_not_closed(case)
        if corrects is not None and stores.entries.get(case_id, corrects, tx=tx) is None:
            raise Invalid(
                "An entry corrects another one of the same case. Nothing was stored.",
                errors={"corrects": ["This case has no such entry."]},
            )
        if level is not None and level != case.level:
            stores.cases.save(tx, replace(case, level=level))
        return EntryView(entry=stores.entries.add(tx, entry))

    return stores.unit_of_work.run(act)


def list_entries(stores: CaseStores, *, case_id: str, after: str | None, limit: int, now: datetime) -> list[EntryView]:
    """Up to `limit` entries recorded after that one, each with what corrects it. Raises NotFound or Erased."""
    entries = stores.entries.page(case_id, after=after, limit=limit)
    corrections = stores.entries.corrections(case_id, [entry.id for entry in entries])
    readable(stores, case_id=case_id, now=now)
    return [EntryView(entry=entry, corrected_by=corrections.get(entry.id, ())) for entry in entries]


def read_entry(stores: CaseStores, *, case_id: str, entry_id: str, now: datetime) -> EntryView:
    """One entry with what corrects it. Raises NotFound or Erased."""
    entry = stores.entries.get(case_id, entry_id)
    corrections = stores.entries.corrections(case_id, [entry_id])
    readable(stores, case_id=case_id, now=now)
    if entry is None:
        raise NotFound("No such entry is known here.")
    return EntryView(entry=entry, corrected_by=corrections.get(entry_id, ()))
