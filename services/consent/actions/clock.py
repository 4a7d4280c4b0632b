"""What falls due by itself in the consent service, found by index, and done in steps that may be repeated."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from services.consent.actions.rights import RECKON_STEP
from services.consent.actions.tasks import open_task
from services.consent.actions.telling import tell
from services.consent.model import rights
from services.consent.model.consents import CASEWORK, Ended, Ending, Grant, standing
from services.consent.model.histories import last_to_leave
from services.consent.model.tasks import Kind
from services.consent.store import Stores
from shared import events
from shared.ids import new_id
from shared.work import Tx
from shared.working_days import end_of_day, london_day

EXPIRE_STEP = "expire_consents"
_AT_ONCE = 500


class DueKind(StrEnum):
    """What a case is due for."""

    EXPIRY = "expiry"
    RIGHTS = "rights"


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One case in which something falls due, and since which London day."""

    kind: DueKind
    case_id: str
    on: date


def find_due(stores: Stores, *, now: datetime, limit: int = _AT_ONCE) -> list[Due]:
    """The cases with something due at `now`, the longest due first: up to `limit` of each kind, by index alone.

    A last day that is over (`expire`), and days on which rights are looked at (`rights.reckon`).
    """
    today = london_day(now)
    expiries = stores.expiries.find({"on": {"$lt": today.isoformat()}}, limit=limit, sort=(("on", 1), ("_id", 1)))
    looks = stores.rights.find({"next_on": {"$lte": today.isoformat()}}, limit=limit, sort=(("next_on", 1), ("_id", 1)))
    due = [
        Due(kind=kind, case_id=str(record.case_id), on=date.fromisoformat(record.clear[name]))
        for kind, name, records in ((DueKind.EXPIRY, "on", expiries), (DueKind.RIGHTS, "next_on", looks))
        for record in records
    ]
    first: dict[tuple[DueKind, str], Due] = {}
    for one in due:
        first.setdefault((one.kind, one.case_id), one)
    return list(first.values())


def take_up_due(stores: Stores, *, now: datetime) -> int:
    """Record a step for everything that is due; how many there were."""
    due = find_due(stores, now=now)
    kinds = {DueKind.EXPIRY: EXPIRE_STEP, DueKind.RIGHTS: RECKON_STEP}

    def act(tx: Tx) -> None:
        for one in due:
            stores.steps.add(tx, kinds[one.kind], one.case_id, one.case_id)

    if due:
        stores.work.run(act)
    return len(due)


def expire(stores: Stores, *, case_id: str, now: datetime) -> None:
    """Enter in the history what ran out before this London day, and tell everyone what stands.

    Nothing waits for it: decisions go by the day itself. When the file was agreed to no longer, a task opens. Raises as
    the gate does; may be done again.
    """
    today = london_day(now)

    def act(tx: Tx) -> None:
        tx.enter(case_id, frozen_too=True)
        over = [r for r in stores.expiries.of_case(case_id, tx=tx) if r.clear["on"] < today.isoformat()]
        if not over:
            return
        consents, endings = stores.consents_of(case_id, tx), stores.endings_of(case_id, tx)
        young = stores.young_of(case_id, tx)
        # As if no day had been named: what stood until its own last day.
        before = standing(consents, endings, today=date.min)
        ended: list[str] = []
        for record in over:
            consent_id, day = str(record.clear["consent_id"]), date.fromisoformat(record.clear["on"])
            gone = tuple(s.grant for s in before if s.consent_id == consent_id and s.grant.until == day)
            stores.expiries.remove(tx, record)
            if gone:
                stores.add_ending(tx, _expired(case_id, consent_id, gone, end_of_day(day)))
                ended.append(consent_id)
        if not ended:
            return
        tell(stores, tx, events.consent.EXPIRED, case_id=case_id, consent_id=ended[-1], today=today)
        after = stores.standing(case_id, today, tx)
        consenting = [rights.speaking(stands, young, today=today) for stands in (before, after)]
        if last_to_leave(*consenting):
            last = max(s.grant.until or today for s in before if s.grant.purpose == CASEWORK)
            open_task(stores, tx, case_id=case_id, kind=Kind.CONSENT_EXPIRED, due_on=last + timedelta(days=1))

    stores.work.run(act)


def _expired(case_id: str, consent_id: str, grants: tuple[Grant, ...], at: datetime) -> Ending:
    return Ending(id=new_id(), case_id=case_id, consent_id=consent_id, kind=Ended.EXPIRED, grants=grants, at=at)
