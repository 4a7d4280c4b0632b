"""What falls due by itself in the consent service, found by index, and done in steps that may be repeated."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

from services.consent.actions.clock_time import clock_time, last_run
from services.consent.actions.reviews import REVIEW_STEP, schedule
from services.consent.actions.rights import RECKON_STEP
from services.consent.actions.standing_events import emit_standing
from services.consent.actions.tasks import open_task
from services.consent.context import Context
from services.consent.model import reviews as v
from services.consent.model import rights
from services.consent.model.clock import LAST_RUN, ClockRun, Counts, Stopped, stops
from services.consent.model.consents import Ended, Ending, standing
from services.consent.model.histories import last_to_leave
from services.consent.model.reviews import Windows
from services.consent.model.tasks import Kind
from services.consent.store import Stores, queries
from shared import events
from shared.clock import CLOCKS_DIFFER
from shared.db.unit_of_work import Tx
from shared.errors import Erased, NotFound
from shared.ids import new_id
from shared.known_consents import CASEWORK
from shared.messaging.steps import StepRow
from shared.ops.logs import log
from shared.uk.working_days import end_of_day, london_day

EXPIRE_STEP = "expire_consents"
_AT_ONCE = 10_000


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
    young = stores.rights.find({"next_on": {"$lte": today.isoformat()}}, limit=limit, sort=(("next_on", 1), ("_id", 1)))
    due = [Due(kind=DueKind.EXPIRY, case_id=one.case_id, on=one.on) for one in expiries]
    due += [Due(kind=DueKind.RIGHTS, case_id=one.case_id, on=one.next_on or today) for one in young]
    first: dict[tuple[DueKind, str], Due] = {}
    for one in due:
        first.setdefault((one.kind, one.case_id), one)
    return list(first.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One run: when it was about, what was due, and why it stopped (None: it took up what was due, or was only dry)."""

    now: datetime
    counts: Counts
    stopped: Stopped | None


def run_clock(
    stores: Stores,
    windows: Windows,
    *,
    now: datetime,
    most: int,
    dry_run: bool = False,
    confirmed_by: str | None = None,
    end_shells: Callable[[datetime, bool], int] = lambda now, dry_run: 0,
) -> Ran:
    """Record a step for everything that is due at `now`, unless the run must be confirmed first.

    A step is done once, however often it is recorded, and goes by the time of the last run (`clock_time`). most: how
    many may expire in a run. end_shells: ends the shells whose time is over, or only counts them; raises Unavailable.
    """
    due = find_due(stores, now=now)
    reviews = stores.reviews.find({"next_at": {"$lte": now}}, limit=_AT_ONCE, sort=(("next_at", 1), ("_id", 1)))
    falls_due = [v.due(review, now=now, windows=windows) for review in reviews]
    counts = Counts(
        shells=end_shells(now, True),
        letters=falls_due.count(v.Due.WRITE),
        reminders=falls_due.count(v.Due.REMIND),
        silences=falls_due.count(v.Due.EXPIRE),
        expiries=sum(one.kind is DueKind.EXPIRY for one in due),
        rights=sum(one.kind is DueKind.RIGHTS for one in due),
    )
    why = stops(counts, now=now, last=last_run(stores), most=most)
    if dry_run or (why is not None and confirmed_by is None):
        return Ran(now=now, counts=counts, stopped=why)
    kinds = {DueKind.EXPIRY: EXPIRE_STEP, DueKind.RIGHTS: RECKON_STEP}

    def act(tx: Tx) -> None:
        last = last_run(stores, tx=tx)
        if confirmed_by is None and last is not None and last > now:
            # Another run was quicker, by less than two clocks may differ: its time stands.
            _keep_run(stores, tx, last, confirmed_by=None)
        else:
            _keep_run(stores, tx, now, confirmed_by=None if why is None else confirmed_by)
        for one in due:
            stores.steps.add(tx, kinds[one.kind], one.case_id, one.case_id)
        for review in reviews:
            stores.steps.add(tx, REVIEW_STEP, review.id, review.case_id)

    stores.unit_of_work.run(act)
    end_shells(now, False)
    return Ran(now=now, counts=counts, stopped=None)


def _keep_run(stores: Stores, tx: Tx, at: datetime, *, confirmed_by: str | None) -> None:
    """This is the last run now; one that was confirmed, or that time travel took ahead, is kept for itself too."""
    run = ClockRun(id=LAST_RUN, at=at, ran_at=tx.now, confirmed_by=confirmed_by)
    if confirmed_by is not None or at > tx.now + CLOCKS_DIFFER:
        stores.clock_runs.add(replace(run, id=new_id()), tx=tx)
    stores.clock_runs.put(run, tx=tx)


def end_shells(context: Context, now: datetime, dry_run: bool) -> int:
    """Have the case service end the shells whose time is over, or only count them; how many. Raises Unavailable."""
    answer = context.calls.post("case", "/cases/expiry", {"now": now.isoformat(), "dry_run": dry_run})
    return int(answer["shells"])


def run_regularly(context: Context, now: datetime) -> None:
    """The worker's run; one that stops is logged, so that the operator runs it by hand."""
    ran = run_clock(context.stores, context.windows, now=now, most=context.most_expiries)
    if ran.stopped is not None:
        log.error("clock.stopped", reason=str(ran.stopped))


def expire_step(context: Context, step: StepRow) -> None:
    """See `expire`; nothing for a case that has ended or is erased."""
    with suppress(NotFound, Erased):
        expire(context.stores, case_id=str(step.case_id), now=clock_time(context.stores, step.now))


def expire(stores: Stores, *, case_id: str, now: datetime) -> None:
    """Enter in the history what ran out before this London day, and say what stands.

    Nothing waits for it: decisions go by the day itself. When the file was agreed to no longer, a task opens. Raises as
    the gate does; may be done again.
    """
    today = london_day(now)

    def act(tx: Tx) -> None:
        tx.enter(case_id, frozen_too=True)
        over = [one for one in stores.expiries.of_case(case_id, tx=tx) if one.on < today]
        if not over:
            return
        consents, endings = stores.consents.of_case(case_id, tx=tx), stores.endings.of_case(case_id, tx=tx)
        young = stores.rights.of_case(case_id, tx=tx)
        # As if no day had been named: what stood until its own last day.
        before = standing(consents, endings, today=date.min)
        ended: list[str] = []
        for one in over:
            gone = tuple(s.grant for s in before if s.consent_id == one.consent_id and s.grant.until == one.on)
            stores.expiries.remove(one, tx=tx)
            if gone:
                ending = Ending(
                    id=new_id(),
                    case_id=case_id,
                    consent_id=one.consent_id,
                    kind=Ended.EXPIRED,
                    grants=gone,
                    recorded_at=end_of_day(one.on),
                )
                stores.endings.add(ending, tx=tx)
                ended.append(one.consent_id)
        if not ended:
            return
        schedule(stores, tx, case_id)
        emit_standing(stores, tx, events.consent.EXPIRED, case_id=case_id, consent_id=ended[-1], today=today)
        after = queries.standing(stores, case_id, today, tx=tx)
        consenting = [rights.speaking(stands, young, today=today) for stands in (before, after)]
        if last_to_leave(*consenting):
            last = max(s.grant.until or today for s in before if s.grant.purpose == CASEWORK)
            open_task(stores, tx, case_id=case_id, kind=Kind.CONSENT_EXPIRED, due_on=last + timedelta(days=1))

    stores.unit_of_work.run(act)
