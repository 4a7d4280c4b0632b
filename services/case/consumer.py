"""What the case service does with what the others say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from services.case.actions.consents import hear_consents
from services.case.model.consents import Standing
from services.case.store import CaseStores
from shared.db.unit_of_work import Tx
from shared.events import Event, consent

Handler = Callable[[Tx, Event], None]


def handlers(stores: CaseStores) -> dict[str, Handler]:
    """Event type -> action; what every service does with an erasure comes beside it."""

    def on_consents(tx: Tx, event: Event) -> None:
        standing = [_standing(one) for one in event.data["standing"]]
        hear_consents(stores, tx, case_id=event.case, standing=standing, now=tx.now)

    return {
        consent.GIVEN.type: on_consents,
        consent.WITHDRAWN.type: on_consents,
        consent.EXPIRED.type: on_consents,
    }


def _standing(one: Mapping[str, Any]) -> Standing:
    until = one.get("until")
    return Standing(
        consent=one["consent"],
        purpose=one["purpose"],
        party=one.get("party"),
        document_kind=one.get("document_kind"),
        person=one.get("person"),
        until=None if until is None else datetime.fromisoformat(until),
    )
