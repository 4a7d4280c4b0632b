"""What the document service does with what the others say."""

from __future__ import annotations

from services.document.actions import quarantine
from services.document.context import Context
from shared.db.unit_of_work import Tx
from shared.events import Event
from shared.known_consents import KnownConsents, standing_in


def consents_changed(context: Context, tx: Tx, event: Event) -> None:
    """Keep what stands of the case's consents now; also while the case is frozen. It may lift a quarantine (P11)."""
    tx.enter(event.case, frozen_too=True)
    known = KnownConsents(case_id=event.case, standing=standing_in(event.data["standing"]), version=event.seq)
    context.stores.projections.put(known, tx=tx)
    quarantine.consents_changed(context.stores, event.case, tx=tx)
