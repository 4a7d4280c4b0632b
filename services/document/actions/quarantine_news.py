"""What the other services hear of a case's quarantine."""

from __future__ import annotations

from services.document.model.documents import NO_CONSENT, QUARANTINED, Document
from services.document.store import Stores
from shared.db.unit_of_work import Tx
from shared.events import document as events

LIFT_STEP = "lift_quarantine"


def tell_quarantine(stores: Stores, changed: Document, *, tx: Tx) -> None:
    """After one document came into quarantine, or left it: say which documents of its case are in it now."""
    if changed.closed_for == NO_CONSENT:
        # The consent may have come while the file did.
        look_for_consent(stores, changed.case_id, tx=tx)
    closed = stores.documents.find({"case_id": changed.case_id, "state": QUARANTINED}, tx=tx)
    told = [{"document": one.id, "reason": one.closed_for, "since": one.quarantined_at.isoformat()} for one in closed]
    tx.emit(events.QUARANTINE, {"case": changed.case_id, "documents": told})


def look_for_consent(stores: Stores, case_id: str, *, tx: Tx) -> None:
    """Ask the consent service, after this transaction, which documents of the case need no quarantine any more."""
    stores.steps.add(tx, LIFT_STEP, case_id, case_id)
