"""Tasks: opened by what falls due, done by a person, or settled by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from services.consent.model.tasks import Kind, State, Task
from services.consent.store import Stores
from shared.db.unit_of_work import Tx
from shared.errors import Conflict, NotFound
from shared.ids import new_id
from shared.uk.working_days import london_day

#: How long the office has to call somebody whom nothing else reaches.
TO_CALL_WITHIN = timedelta(days=7)
NO_TASK = "There is no such task here."


def open_task(
    stores: Stores, tx: Tx, *, case_id: str, kind: Kind, due_on: date, subject_id: str | None = None, once: bool = False
) -> Task:
    """Open a task, in the transaction of whoever went through the case's gate; there is one for each kind and subject.

    One that is open takes the day that is said now. One that was done is opened again for another day, unless `once`.
    """
    before = stores.tasks.about(tx, case_id, kind, subject_id)
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
        return stores.tasks.add(tx, new)
    if before.due_on == due_on or once:
        return before
    again = replace(before, due_on=due_on)
    if before.state is State.DONE:
        again = replace(again, state=State.OPEN, opened_at=tx.now, done_at=None, done_by=None)
    return stores.tasks.save(tx, again)


def settle_task(stores: Stores, tx: Tx, *, case_id: str, kind: Kind, subject_id: str | None = None) -> None:
    """There is nothing to do any more: a task that is open is done by itself."""
    task = stores.tasks.about(tx, case_id, kind, subject_id)
    if task is not None and task.state is State.OPEN:
        stores.tasks.save(tx, replace(task, state=State.DONE, done_at=tx.now))


def call_whom_nothing_reaches(stores: Stores, tx: Tx, case_id: str, people: Sequence[Mapping[str, Any]]) -> None:
    """Whoever was asked about every way to reach them, and refused each, is to be called (P18).

    people: as the case service tells of them, {person, unreachable?}, before they are kept. A call that somebody made
    isn't asked for again while they go on refusing.
    """
    for person in people:
        about: dict[str, Any] = {"case_id": case_id, "kind": Kind.CALL, "subject_id": person["person"]}
        if not person.get("unreachable"):
            settle_task(stores, tx, **about)
            continue
        before, due_on = stores.tasks.about(tx, **about), london_day(tx.now + TO_CALL_WITHIN)
        if before is None:
            open_task(stores, tx, due_on=due_on, **about)
        elif before.state is State.DONE and before.done_by is None:
            again = replace(before, due_on=due_on, state=State.OPEN, opened_at=tx.now, done_at=None)
            stores.tasks.save(tx, again)
    for gone in {p["person"] for p in stores.people_of(case_id, tx)} - {p["person"] for p in people}:
        settle_task(stores, tx, case_id=case_id, kind=Kind.CALL, subject_id=gone)


def finish_task(stores: Stores, *, task_id: str, sub: str) -> Task:
    """Somebody has done it; also while the case is frozen. Raises NotFound, Erased, or Conflict when it was done."""

    def act(tx: Tx) -> Task:
        task = stores.tasks.get(task_id, tx)
        if task is None:
            raise NotFound(NO_TASK)
        tx.enter(task.case_id, frozen_too=True)
        if task.state is State.DONE:
            raise Conflict("This task was done before. Nothing was changed.")
        return stores.tasks.save(tx, replace(task, state=State.DONE, done_at=tx.now, done_by=sub))

    return stores.unit_of_work.run(act)
