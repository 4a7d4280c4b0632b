"""Tasks, one for each case, kind and subject, ever."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from services.consent.model.tasks import Kind, Task
from services.consent.store.records import task, task_out
from shared.db import Collection
from shared.db.unit_of_work import Tx


@dataclass(frozen=True, slots=True)
class TaskRows:
    """The tasks of every case."""

    rows: Collection

    def get(self, id: str, tx: Tx | None = None) -> Task | None:
        record = self.rows.get(id, tx=tx)
        return None if record is None else task(record)

    def find(self, where: Mapping[str, Any], *, after: str | None, limit: int) -> list[Task]:
        return [task(record) for record in self.rows.find(where, after=after, limit=limit)]

    def of_case(self, case_id: str, tx: Tx | None = None) -> list[Task]:
        return [task(record) for record in self.rows.of_case(case_id, tx=tx)]

    def about(self, tx: Tx, case_id: str, kind: Kind, subject_id: str | None) -> Task | None:
        record = self.rows.first({"case_id": case_id, "kind": str(kind), "subject_id": subject_id}, tx=tx)
        return None if record is None else task(record)

    def add(self, tx: Tx, new: Task) -> Task:
        self.rows.insert(tx, id=new.id, case_id=new.case_id, clear=task_out(new))
        return new

    def save(self, tx: Tx, after: Task) -> Task:
        self.rows.change_clear(tx, id=after.id, version=after.version, clear=task_out(after))
        return replace(after, version=after.version + 1)
