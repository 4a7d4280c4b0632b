"""Events, one module per publisher. `shared.events.base` says what an event is."""

from shared.events import case, consent, document, erasure, notification
from shared.events.base import SERVICES, Event, EventType, UnknownType, all_types, is_ours, read, write

__all__ = [
    "SERVICES",
    "Event",
    "EventType",
    "UnknownType",
    "all_types",
    "case",
    "consent",
    "document",
    "erasure",
    "is_ours",
    "notification",
    "read",
    "write",
]
