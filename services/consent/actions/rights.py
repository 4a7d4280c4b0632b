"""When rights pass: reckoned from dates of birth that the case service keeps; here are only the days that count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from services.consent.actions.clock_time import clock_time
from services.consent.actions.others import people_now
from services.consent.actions.tasks import open_task, settle_task, task_about
from services.consent.context import Context
from services.consent.model import rights
from services.consent.model.consents import YOUNG
from services.consent.model.rights import Young, calendar_of
from services.consent.model.tasks import Kind
from services.consent.store import Stores, queries
from shared.db.unit_of_work import Tx
from shared.errors import Conflict, Erased, NotFound
from shared.messaging.steps import StepRow
from shared.uk.working_days import london_day

RECKON_STEP = "reckon_rights"
#: How long the office has to ask for a date of birth that it wasn't told.
TO_ASK_BIRTH = timedelta(days=28)

_THEY_DECIDE = (
    "The young person decides for themselves now, so this can't rest on parental responsibility or on another person's "
    "own word. Nothing was changed. Ask the young person; or record who represents them, if they can't decide."
)


def schedule_reckoning(stores: Stores, tx: Tx, case_id: str, people: Iterable[Mapping[str, Any]]) -> None:
    """The people of the case are now these ({person, role}): what it means for rights is reckoned in a step."""
    if any(p["role"] in YOUNG for p in people) or stores.rights.exists({"case_id": case_id}, tx=tx):
        stores.steps.add(tx, RECKON_STEP, case_id, case_id)


def reckon_step(context: Context, step: StepRow) -> None:
    """Reckon it from the dates of birth that the case service has; nothing for a case that has ended or is erased."""
    case_id = str(step.case_id)
    with suppress(NotFound, Erased):
        people = people_now(context, case_id)
        reckon(context.stores, case_id=case_id, people=people, now=clock_time(context.stores, step.now))


def reckon(stores: Stores, *, case_id: str, people: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Reckon when rights pass in this case, and open the tasks that are due.

    people: as the case service shows them now, {id, role, date_of_birth?}; nothing of them is kept but days. Raises
    as the gate does; may be done again.
    """
    today = london_day(now)
    born = {str(p["id"]): _day(p.get("date_of_birth")) for p in people if p["role"] in YOUNG}

    def act(tx: Tx) -> None:
        tx.enter(case_id, frozen_too=True)
        before = {one.id: one for one in stores.rights.of_case(case_id, tx=tx)}
        for id, day in born.items():
            young, kept = _reckoned(case_id, id, day, before.get(id), now), before.get(id)
            if kept is None:
                stores.rights.add(young, tx=tx)
            elif kept != young:
                stores.rights.save(replace(young, version=kept.version), tx=tx)
        for gone in before.keys() - born.keys():
            stores.rights.remove(before[gone], tx=tx)
            for kind in (Kind.RIGHTS_PASS, Kind.NO_DATE_OF_BIRTH, Kind.TURNS_25):
                settle_task(stores, tx, case_id=case_id, kind=kind, subject_id=gone)
        for id, day in born.items():
            _open_what_is_due(stores, tx, case_id, id, day, today)
        settle_answered(stores, tx, case_id, today)

    stores.unit_of_work.run(act)


def _reckoned(case_id: str, person_id: str, born: date | None, before: Young | None, now: datetime) -> Young:
    """Once the clock has noticed that rights have passed they stay so, unless the date of birth was mended."""
    if born is None:
        return Young(id=person_id, case_id=case_id, pass_on=None)
    calendar, today = calendar_of(born), london_day(now)
    passed_at = before.passed_at if before is not None and before.pass_on == calendar.pass_on else None
    if passed_at is None and calendar.pass_on <= today:
        passed_at = now
    return Young(
        id=person_id,
        case_id=case_id,
        pass_on=calendar.pass_on,
        passed_at=passed_at,
        next_on=calendar.next_after(today),
    )


def _open_what_is_due(stores: Stores, tx: Tx, case_id: str, person_id: str, born: date | None, today: date) -> None:
    about: dict[str, Any] = {"case_id": case_id, "subject_id": person_id}
    if born is None:
        open_task(stores, tx, kind=Kind.NO_DATE_OF_BIRTH, due_on=today + TO_ASK_BIRTH, once=True, **about)
        return
    settle_task(stores, tx, kind=Kind.NO_DATE_OF_BIRTH, **about)
    calendar = calendar_of(born)
    if calendar.asks_on <= today:
        open_task(stores, tx, kind=Kind.RIGHTS_PASS, due_on=calendar.pass_on, **about)
    elif (task := task_about(stores, tx, kind=Kind.RIGHTS_PASS, **about)) and task.due_on != calendar.pass_on:
        # It was opened for a date of birth that has been mended since.
        settle_task(stores, tx, kind=Kind.RIGHTS_PASS, **about)
    if calendar.turns_25_in <= today:
        open_task(stores, tx, kind=Kind.TURNS_25, due_on=calendar.end_of_25th, **about)


def settle_answered(stores: Stores, tx: Tx, case_id: str, today: date) -> None:
    """A young person who has been heard, or whose representative has, needs no asking."""
    stands, young = queries.standing(stores, case_id, today, tx=tx), stores.rights.of_case(case_id, tx=tx)
    for one in young:
        if any(rights.speaks_for(stand, one, only_one=len(young) == 1) for stand in stands):
            settle_task(stores, tx, case_id=case_id, kind=Kind.RIGHTS_PASS, subject_id=one.id)


def refuse_parental(stores: Stores, tx: Tx, case_id: str, now: datetime) -> None:
    """Raises Conflict when parental responsibility counts for nothing in this case any more."""
    refuse_parental_for(stores.rights.of_case(case_id, tx=tx), now)


def refuse_parental_for(young: Sequence[Young], now: datetime) -> None:
    """As `refuse_parental`, where these are all the young people of the case."""
    if not rights.parents_may_speak(young, today=london_day(now)):
        raise Conflict(_THEY_DECIDE)


def refuse_ending(
    stores: Stores, tx: Tx, case_id: str, *, authority: str, person_id: str | None, now: datetime
) -> None:
    """Raises Conflict where a file can't be ended on that authority (`rights.may_end_the_file`)."""
    today = london_day(now)
    young, stands = stores.rights.of_case(case_id, tx=tx), queries.standing(stores, case_id, today, tx=tx)
    if not rights.may_end_the_file(young, stands, authority=authority, person_id=person_id, today=today):
        raise Conflict(_THEY_DECIDE)


def _day(text: Any) -> date | None:
    return None if text is None else date.fromisoformat(str(text))
