"""What the consent service says stands; the first consent to casework opens a shell."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from services.case.model.cases import SHELL, opened
from services.case.model.consents import Consents, Standing
from services.case.store import CaseStores
from shared.db.unit_of_work import Tx
from shared.events import case as events


def hear_consents(stores: CaseStores, tx: Tx, *, case_id: str, standing: Iterable[Standing], now: datetime) -> None:
    """Keep the whole of what stands; open the case if it was a shell and casework stands.

    A withdrawal changes no state: the file is still there, to be looked after or forgotten, but takes nothing new.
    """
    consents = Consents(tuple(standing))
    # A withdrawal matters to a frozen case too: it may be released.
    tx.enter(case_id, frozen_too=True)
    stores.projections.put(tx, case_id, consents)
    case = stores.cases.get(case_id, tx=tx)
    if case is not None and case.state == SHELL and consents.casework_stands(now):
        after = stores.cases.save(tx, opened(case))
        tx.emit(events.STATE, {"case": case_id, "state": after.state})
