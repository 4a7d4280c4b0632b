"""Which shells wait for the people and wishes of an intake: one row a case until they have come, nothing personal."""

from __future__ import annotations

from shared.db import Disposal, Register
from shared.db.unit_of_work import Tx


class Intakes:
    """The row goes with what it waited for, so that a delivery that is repeated brings nobody back."""

    def __init__(self, register: Register) -> None:
        self._store = register.collection("intakes", clear={}, disposal=Disposal.ERASE)

    def expect(self, tx: Tx, case_id: str) -> None:
        self._store.insert(tx, id=case_id, case_id=case_id, clear={})

    def is_expected(self, tx: Tx, case_id: str) -> bool:
        return self._store.get(case_id, tx=tx) is not None

    def has_come(self, tx: Tx, case_id: str) -> None:
        record = self._store.get(case_id, tx=tx)
        if record is not None:
            self._store.remove(tx, record)
