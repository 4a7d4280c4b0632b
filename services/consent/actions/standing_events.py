"""Events that say what stands of a case's consents, whole, so that other services need no earlier one."""

from __future__ import annotations

from datetime import date

from services.consent.store import Stores, queries
from shared import events
from shared.db.unit_of_work import Tx


def emit_standing(
    stores: Stores, tx: Tx, event_type: events.EventType, *, case_id: str, consent_id: str, today: date
) -> events.Event:
    """Say what was agreed to and stands on that London day. consent_id: the consent that changed."""
    standing = [
        {
            "consent": one.consent_id,
            "purpose": one.grant.purpose,
            "party": one.grant.party,
            "document_kind": one.grant.document_kind,
            "person": one.person_id,
            "until": None if one.until is None else one.until.isoformat(),
        }
        for one in queries.standing(stores, case_id, today, tx=tx)
    ]
    return tx.emit(event_type, {"case": case_id, "consent": consent_id, "standing": standing})
