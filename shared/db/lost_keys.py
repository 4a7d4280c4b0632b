"""Keys without a gate: a process that dies between making a new case's key and its gate leaves the key.

Nothing was sealed under such a key. If a message or an intake brought the case, its retry makes the gate for the same
key. So a key counts as lost after a day. A key that is taken up at the same moment stays, or is made again
(`Gates.make`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from shared.db.unit_of_work import UnitOfWork
from shared.db.vault import Vault
from shared.ids import is_id

#: Longer than any clock is wrong, and than a process takes from the key to the gate.
GRACE: Final = timedelta(days=1)


def sweep_keys(unit_of_work: UnitOfWork, vault: Vault, *, now: datetime) -> int:
    """Destroy the keys of cases without a gate that are older than `GRACE`; how many there were."""
    swept, lost = 0, now - GRACE
    for names in vault.names_before(lost):
        # The other keys belong to no case: the office's, and those of records that stand apart.
        of_cases = {name for name in names if is_id(name)}
        for case_id in sorted(of_cases - unit_of_work.gates.known(of_cases)):
            swept += unit_of_work.gates.forget_key(vault, case_id, made_before=lost)
    return swept
