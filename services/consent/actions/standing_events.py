"""Telling the other services what stands, whole, so that they need no earlier event."""

from __future__ import annotations

from datetime import date

from services.consent.store import Stores
from shared import events
from shared.db.unit_of_work import Tx


def tell(
    stores: Stores, tx: Tx, event_type: events.EventType, *, case_id: str, consent_id: str, today: date
) -> events.Event:
    """Say what was agreed to and stands on that London day. consent_id: the consent that changed."""
    return tx.emit(
        event_type,
        {
            "case": case_id,
            "consent": consent_id,
            "standing": [
                {
                    "consent": s.consent_id,
                    "purpose": s.grant.purpose,
                    "party": s.grant.party,
                    "document_kind": s.grant.document_kind,
                    "person": s.person_id,
                    "until": None if s.until is None else s.until.isoformat(),
                }
                for s in stores.standing(case_id, today, tx)
            ],
        },
    )
