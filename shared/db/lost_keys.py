"""Keys of cases that never were: who dies between a new case's key and its gate leaves the key.

Nothing was sealed under one. Where a message brought the case, or an intake that goes on, the same key gets its gate
when that is taken up again, so a key is only lost once a day has passed; and one that is taken up at that very moment
stays, or is made again (`Gates.make`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from shared.db.unit_of_work import UnitOfWork
from shared.db.vault import Vault
from shared.ids import is_id

#: Longer than any clock is wrong, and than anybody takes from the key to the gate.
GRACE: Final = timedelta(days=1)


def sweep_keys(unit_of_work: UnitOfWork, vault: Vault, *, now: datetime) -> int:
    """Destroy the keys of cases without a gate that are older than `GRACE`; how many there were."""
    swept, lost = 0, now - GRACE
    for names in vault.names_before(lost):
        # The others are not of cases: the office's, and those that stand apart.
        of_cases = {name for name in names if is_id(name)}
        for case_id in sorted(of_cases - unit_of_work.gates.known(of_cases)):
            swept += unit_of_work.gates.forget_key(vault, case_id, made_before=lost)
    return swept
