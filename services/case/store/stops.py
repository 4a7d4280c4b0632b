"""Families with whom all contact has stopped: one record a case, why in `personal`."""

from __future__ import annotations

from collections.abc import Sequence

from services.case.model.safe_contact import Stop
from shared.db import Disposal, Record, Register
from shared.db.unit_of_work import Tx
from shared.fields import Subject, Time


class Stops:
    """A record's id is its case's."""

    def __init__(self, register: Register) -> None:
        self._store = register.collection("stops", clear={"by": Subject(), "at": Time()}, disposal=Disposal.ERASE)

    def put(self, tx: Tx, stop: Stop) -> None:
        clear = {"by": stop.by, "at": stop.at}
        personal = {"reason": stop.reason, "words": stop.words}
        before = self._store.get(stop.case_id, tx=tx)
        if before is None:
            self._store.insert(tx, id=stop.case_id, case_id=stop.case_id, clear=clear, personal=personal)
        else:
            self._store.change(tx, before, clear=clear, personal=personal)

    def get(self, case_id: str, *, tx: Tx | None = None) -> Stop | None:
        record = self._store.get(case_id, tx=tx)
        return None if record is None else _stop(record)

    def of_cases(self, case_ids: Sequence[str]) -> set[str]:
        """Which of these cases are stopped."""
        return {record.id for record in self._store.find({"_id": {"$in": list(case_ids)}})}

    def remove(self, tx: Tx, case_id: str) -> bool:
        """Whether there was one."""
        before = self._store.get(case_id, tx=tx)
        if before is None:
            return False
        self._store.remove(tx, before)
        return True


def _stop(record: Record) -> Stop:
    return Stop(case_id=str(record.case_id), **record.clear, **record.personal)
