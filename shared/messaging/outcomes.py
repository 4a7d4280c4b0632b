"""What becomes of messages that are not handled: deferred or parked, logged, and counted with all the others."""

from __future__ import annotations

from datetime import datetime

from prometheus_client import Counter

from shared.db.unit_of_work import Row
from shared.events import Event, all_types, is_ours, write
from shared.fields import Signed
from shared.messaging.deliveries import Delivery
from shared.messaging.parked_messages import ParkedMessages
from shared.ops.logs import log

_MESSAGES = Counter("fmn_messages", "Messages by what became of them", ["service", "type", "outcome"])


class Outcomes:
    """One service's way to defer, park and count messages."""

    def __init__(self, service: str, parked_messages: ParkedMessages) -> None:
        self._service = service
        self._parked_messages = parked_messages

    def message(self, delivery: Delivery, event: Event | None = None) -> Row:
        """What is kept of a delivery that isn't handled. event: what it holds, once that is verified."""
        return self._parked_messages.message(
            # An event as we understand it: fields that are none of ours are left out.
            body=delivery.body if event is None else write(event),
            user_id=delivery.user_id,
            routing_key=delivery.routing_key if event is None else event.type.type,
            case_id=None if event is None else event.case,
            id=None if event is None else event.id,
        )

    def defer(self, message: Row, reason: str, now: datetime, *, alarm: bool = False) -> None:
        """Keep the message to be retried, and log it: as an error where `alarm`."""
        attempts = self._parked_messages.defer(message, reason, now)
        self.count(message["type"], "deferred")
        say = log.error if alarm else log.warning
        say("message.deferred", event_type=message["type"], record_id=message["_id"], attempt=attempts, reason=reason)

    def park(self, message: Row, reason: str) -> None:
        """Keep the message for a person. One that carries a signature may say anything in it: that was refused."""
        if _carries_signature(message["type"]):
            message = {**message, "case_id": None}
        self._parked_messages.park(message, reason)
        self.count(message["type"], "parked")

    def count(self, type_name: str, outcome: str) -> None:
        """Count a message. An unknown type has no label of its own: strangers must not be able to add series."""
        known = type_name if type_name in all_types() else "unknown"
        _MESSAGES.labels(self._service, known, outcome).inc()


def _carries_signature(type_name: str) -> bool:
    event_type = all_types().get(type_name)
    return event_type is not None and any(
        isinstance(getattr(field, "of", field), Signed) for field in event_type.fields.values()
    )


def with_type(message: Row, type_name: object) -> Row:
    """The message under the type that its body names, where that is one of ours in another version."""
    return {**message, "type": type_name} if is_ours(type_name) else message
