"""What the case service does with the events of the others; the kernel adds what every service does for an erasure."""

from __future__ import annotations

from services.case.actions.consents import record_consents
from services.case.context import Context
from shared.db.unit_of_work import Tx
from shared.events import Event
from shared.known_consents import standing_in


def consents_changed(context: Context, tx: Tx, event: Event) -> None:
    """Keep what stands now (consent.given, consent.withdrawn, consent.expired)."""
    standing = standing_in(event.data["standing"])
    record_consents(context.stores, case_id=event.case, standing=standing, seq=event.seq, tx=tx)
