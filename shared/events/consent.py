"""What the consent service tells the others: consents, the freeze, and the erasure it coordinates."""

from __future__ import annotations

from shared.events.base import SERVICES, EventType, define
from shared.fields import Count, Field, Group, Id, List, Optional, Signed, Time, one_of

PURPOSES = ("casework", "contact", "obtain_documents", "share", "email")
DOCUMENT_KINDS = ("ehc_plan", "early_help", "meeting_notes", "report", "letter", "form", "other")

#: All that stands of a case's consents: in events, and in what services keep of them.
STANDING: Field = List(
    Group(
        {
            "consent": Id(),
            "purpose": one_of(*PURPOSES),
            "party": Optional(Id()),
            "document_kind": Optional(one_of(*DOCUMENT_KINDS)),
            "person": Optional(Id()),
            "until": Optional(Time()),
        }
    )
)
_CONSENTS: dict[str, Field] = {
    "case": Id(),
    "consent": Id(),
    # All that stands after it, so that a consumer needs no earlier event.
    "standing": STANDING,
}
GIVEN = define(EventType(name="consent.given", publishers=("consent",), fields=_CONSENTS, topic="consents"))
WITHDRAWN = define(EventType(name="consent.withdrawn", publishers=("consent",), fields=_CONSENTS, topic="consents"))
# A purpose has reached its last day, and stands no longer.
EXPIRED = define(EventType(name="consent.expired", publishers=("consent",), fields=_CONSENTS, topic="consents"))
FROZEN = define(EventType(name="case.frozen", publishers=("consent",), fields={"case": Id()}, topic="freeze"))
RELEASED = define(EventType(name="case.released", publishers=("consent",), fields={"case": Id()}, topic="freeze"))

_REQUEST: dict[str, Field] = {"request": Id(), "case": Id()}
PREPARING = define(
    EventType(name="erasure.preparing", publishers=("consent",), fields={**_REQUEST, "received_at": Time()})
)
STARTED = define(
    EventType(
        name="erasure.started",
        publishers=("consent",),
        fields={
            **_REQUEST,
            "attempt": Count(),
            "due_at": Time(),
            "participants": List(one_of(*SERVICES)),
            # The consent service's signature (shared/erasure/grants.py), without which nothing is destroyed.
            "grant": Optional(Signed()),
        },
    )
)
CANCELLED = define(EventType(name="erasure.cancelled", publishers=("consent",), fields=_REQUEST))
VERIFIED = define(EventType(name="erasure.verified", publishers=("consent",), fields={**_REQUEST, "due_at": Time()}))
COMPLETED = define(EventType(name="erasure.completed", publishers=("consent",), fields=_REQUEST))
# A manager has settled the last letter: a sealed letter is destroyed, also one that is sealed later.
SETTLED = define(
    EventType(
        name="erasure.settled",
        publishers=("consent",),
        fields={**_REQUEST, "outcome": one_of("unknown", "undeliverable", "nobody")},
    )
)

REVIEW_LETTERS = ("review", "review_reminder")
# A letter about a review is due to a person. round: how often the review was restarted for another address. asked_at:
# the clock's time. days: how many days from the hand-over they have to answer.
REVIEW_ASKED = define(
    EventType(
        name="review.asked",
        publishers=("consent",),
        fields={
            "case": Id(),
            "person": Id(),
            "review": Id(),
            "letter": one_of(*REVIEW_LETTERS),
            "round": Count(),
            "asked_at": Time(),
            "days": Count(),
        },
    )
)
