"""Who really sent a message, and what it says: checked before anything is believed."""

from __future__ import annotations

from shared.errors import Permanent
from shared.events import SERVICES, Event, read

# The saga's own messages pass a closed gate: an erasure, its last letter and its paper go on after it.
PASSES_CLOSED_GATE = ("erasure.", "last_letter.", "paper.")
# A version of these that we don't know yet is kept and raises the alarm: to ignore one would be to go on as before.
NEVER_DROPPED = ("erasure.", "case.frozen.", "case.released.", "consent.withdrawn.", "consent.expired.")

#: An event of ours has some thousand bytes. What is larger is neither read nor kept.
MOST_BYTES = 1024 * 1024


def passes_closed_gate(type_name: str) -> bool:
    return type_name.startswith(PASSES_CLOSED_GATE)


def is_never_dropped(type_name: str) -> bool:
    return type_name.startswith(NEVER_DROPPED)


def verify(body: bytes, user_id: str | None, *, names: str) -> Event:
    """The event, sent by the account of the service that it says it is from.

    Raises Permanent("too-large" | "forged-sender" | "unreadable" | "wrong-shape") and UnknownType.
    """
    if len(body) > MOST_BYTES:
        raise Permanent("too-large")
    accounts = {f"{names}-{service}": service for service in SERVICES}
    sender = accounts.get(user_id or "")
    if sender is None:
        raise Permanent("forged-sender")
    event = read(body)
    if event.source != sender or sender not in event.type.publishers:
        raise Permanent("forged-sender")
    return event
