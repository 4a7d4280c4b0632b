"""Tasks: opened by what falls due, done by a person, or settled by themselves."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from services.consent.model.tasks import Kind, State, Task
from services.consent.store import Stores
from shared.errors import Conflict, NotFound
from shared.ids import new_id
from shared.work import Tx

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

    return stores.work.run(act)
