"""Tasks: opened by what falls due, done by a person, or settled by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from services.consent.actions.clock_time import clock_time
from services.consent.model.reviews import Review
from services.consent.model.tasks import Kind, State, Task
from services.consent.store import Stores, queries
from shared.db.unit_of_work import Tx
from shared.errors import Conflict, NotFound
from shared.ids import new_id
from shared.uk.working_days import london_day

#: How long the office has to call a person whom nothing else reaches.
TO_CALL_WITHIN = timedelta(days=7)
#: How long the office has for what a review, or a document in quarantine, opens.
TO_DO_WITHIN = timedelta(days=7)
_ABOUT_A_REVIEW = (Kind.RETURNED_POST, Kind.ASK_BY_PHONE, Kind.CALL)
NO_TASK = "There is no such task here."


def task_about(stores: Stores, tx: Tx, *, case_id: str, kind: Kind, subject_id: str | None = None) -> Task | None:
    """The one task of that kind and subject in this case, open or done."""
    return stores.tasks.first({"case_id": case_id, "kind": kind.value, "subject_id": subject_id}, tx=tx)


def open_task(
    stores: Stores, tx: Tx, *, case_id: str, kind: Kind, due_on: date, subject_id: str | None = None, once: bool = False
) -> Task:
    """Open a task, in a transaction that went through the case's gate; there is one for each kind and subject.

    One that is open takes the day that is said now. One that was done is opened again for another day, unless `once`.
    """
    before = task_about(stores, tx, case_id=case_id, kind=kind, subject_id=subject_id)
    if before is None:
        new = Task(
            id=new_id(),
            case_id=case_id,
            kind=kind,
            subject_id=subject_id,
            due_on=due_on,
            state=State.OPEN,
            opened_at=tx.now,
        )
        return stores.tasks.add(new, tx=tx)
    if before.due_on == due_on or once:
        return before
    again = replace(before, due_on=due_on)
    if before.state is State.DONE:
        again = replace(again, state=State.OPEN, opened_at=tx.now, done_at=None, done_by=None)
    return stores.tasks.save(again, tx=tx)


def settle_task(stores: Stores, tx: Tx, *, case_id: str, kind: Kind, subject_id: str | None = None) -> None:
    """There is nothing to do any more: a task that is open is done by itself."""
    task = task_about(stores, tx, case_id=case_id, kind=kind, subject_id=subject_id)
    if task is not None and task.state is State.OPEN:
        stores.tasks.save(replace(task, state=State.DONE, done_at=tx.now), tx=tx)


def open_review_task(stores: Stores, tx: Tx, review: Review, kind: Kind) -> None:
    """Open a task about a review, unless it is open already."""
    before = task_about(stores, tx, case_id=review.case_id, kind=kind, subject_id=review.id)
    if before is None or before.done_at is not None:
        due_on = london_day(clock_time(stores, tx.now, tx) + TO_DO_WITHIN)
        open_task(stores, tx, case_id=review.case_id, kind=kind, subject_id=review.id, due_on=due_on)


def settle_review_tasks(stores: Stores, tx: Tx, review: Review) -> None:
    """What was to be done because the person wasn't reached needs no doing any more."""
    for kind in _ABOUT_A_REVIEW:
        settle_task(stores, tx, case_id=review.case_id, kind=kind, subject_id=review.id)


def open_calls(stores: Stores, tx: Tx, case_id: str, people: Sequence[Mapping[str, Any]]) -> None:
    """Each person who was asked about every way to reach them, and refused each, is to be called (P18).

    people: as the case service tells of them, {person, unreachable?}, before they are kept. A call that was made
    isn't asked for again while they go on refusing.
    """
    for person in people:
        about: dict[str, Any] = {"case_id": case_id, "kind": Kind.CALL, "subject_id": person["person"]}
        if not person.get("unreachable"):
            settle_task(stores, tx, **about)
            continue
        before, due_on = task_about(stores, tx, **about), london_day(tx.now + TO_CALL_WITHIN)
        if before is None:
            open_task(stores, tx, due_on=due_on, **about)
        elif before.state is State.DONE and before.done_by is None:
            again = replace(before, due_on=due_on, state=State.OPEN, opened_at=tx.now, done_at=None)
            stores.tasks.save(again, tx=tx)
    for gone in queries.people_of(stores, case_id, tx=tx).ids - {p["person"] for p in people}:
        settle_task(stores, tx, case_id=case_id, kind=Kind.CALL, subject_id=gone)


def keep_open(stores: Stores, tx: Tx, case_id: str, kind: Kind, since: Mapping[str, datetime]) -> None:
    """Each of these subjects has an open task of this kind, and no other subject of the case has.

    since: when each came to need it, by its id. A task that a person has done is opened again only if its subject came
    to need it after that.
    """
    for subject, at in since.items():
        about: dict[str, Any] = {"case_id": case_id, "kind": kind, "subject_id": subject}
        before, due_on = task_about(stores, tx, **about), london_day(at + TO_DO_WITHIN)
        if before is None:
            open_task(stores, tx, due_on=due_on, **about)
        elif before.done_at is not None and (before.done_by is None or before.done_at < at):
            again = replace(before, due_on=due_on, state=State.OPEN, opened_at=tx.now, done_at=None, done_by=None)
            stores.tasks.save(again, tx=tx)
    where = {"case_id": case_id, "kind": kind.value, "state": State.OPEN.value}
    for task in stores.tasks.find(where, tx=tx):
        if task.subject_id not in since:
            settle_task(stores, tx, case_id=case_id, kind=kind, subject_id=task.subject_id)


def finish_task(stores: Stores, *, task_id: str, sub: str) -> Task:
    """It has been done; also while the case is frozen. Raises NotFound, Erased, or Conflict when it was done."""

    def act(tx: Tx) -> Task:
        task = stores.tasks.get(task_id, tx=tx)
        if task is None:
            raise NotFound(NO_TASK)
        tx.enter(task.case_id, frozen_too=True)
        if task.state is State.DONE:
            raise Conflict("This task was done before. Nothing was changed.")
        return stores.tasks.save(replace(task, state=State.DONE, done_at=tx.now, done_by=sub), tx=tx)

    return stores.unit_of_work.run(act)
