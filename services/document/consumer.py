"""What the document service does with what the others say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from services.document.model.documents import NO_CASEWORK, Casework
from services.document.store.stores import Stores
from shared.db.unit_of_work import Tx
from shared.events import Event, consent

Handler = Callable[[Tx, Event], None]


def handlers(stores: Stores) -> dict[str, Handler]:
    """Event type -> action; what every service does with an erasure comes beside it."""

    def on_consents(tx: Tx, event: Event) -> None:
        tx.enter(event.case, frozen_too=True)
        stores.projections.put_casework(tx, event.case, _casework(event.data["standing"]))

    return {
        consent.GIVEN.type: on_consents,
        consent.WITHDRAWN.type: on_consents,
        consent.EXPIRED.type: on_consents,
    }


def _casework(standing: Sequence[Mapping[str, Any]]) -> Casework:
    """Of several consents to a case file the one that stands longest counts."""
    ends = [one.get("until") for one in standing if one["purpose"] == "casework"]
    if not ends:
        return NO_CASEWORK
    if any(end is None for end in ends):
        return Casework(given=True, until=None)
    return Casework(given=True, until=max(_moment(end) for end in ends))


def _moment(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
