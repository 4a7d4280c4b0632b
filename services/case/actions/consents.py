"""What the consent service says stands; the first consent to casework opens a shell."""

from __future__ import annotations

from services.case.model.cases import SHELL, opened
from services.case.store import Stores
from shared.db.unit_of_work import Tx
from shared.events import case as events
from shared.known_consents import CASEWORK, KnownConsents, StandingConsent


def record_consents(
    stores: Stores, *, case_id: str, standing: tuple[StandingConsent, ...], seq: int, tx: Tx
) -> KnownConsents:
    """Keep the whole of what stands; open the case if it was a shell and casework stands. seq: of the event.

    A withdrawal changes no state: the file is still there, to be looked after or forgotten, but takes nothing new.
    """
    consents = KnownConsents(case_id=case_id, standing=standing, version=seq)
    # A withdrawal matters to a frozen case too: it may be released.
    tx.enter(case_id, frozen_too=True)
    stores.known_consents.put(consents, tx=tx)
    case = stores.cases.get(case_id, tx=tx)
    if case is not None and case.state == SHELL and consents.allow(CASEWORK, tx.now):
        after = stores.cases.save(opened(case), tx=tx)
        tx.emit(events.STATE, {"case": case_id, "state": after.state})
    return consents
