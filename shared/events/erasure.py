"""Events of every service about its part in an erasure, and of the notifier about the last letter."""

from __future__ import annotations

from shared.events.base import SERVICES, EventType, define
from shared.fields import Count, Id, Signed, one_of

RECEIPT = define(
    EventType(
        name="erasure.receipt",
        publishers=SERVICES,
        fields={
            "request": Id(),
            "case": Id(),
            "service": one_of(*SERVICES),
            "attempt": Count(),
            "receipt": Signed(),
        },
        key_ends_in_service=True,
    )
)
LETTER_SEALED = define(
    EventType(
        name="last_letter.sealed",
        publishers=("notifier",),
        fields={"request": Id(), "case": Id(), "outcome": one_of("sealed", "nobody_to_write_to")},
        key_ends_in_service=True,
    )
)
