"""Events of the notifier about the letters that the consent service asked for: whether they reached the person."""

from __future__ import annotations

from shared.events.base import EventType, define
from shared.events.consent import REVIEW_LETTERS
from shared.fields import Count, Field, Id, Time, one_of

_ABOUT: dict[str, Field] = {
    "case": Id(),
    "notification": Id(),
    "review": Id(),
    "letter": one_of(*REVIEW_LETTERS),
    "round": Count(),
    "at": Time(),
}
# The printer or the mail relay has it.
HANDED_OVER = define(EventType(name="notification.handed_over", publishers=("notifier",), fields=_ABOUT))
# It won't go, or it is unknown whether it went.
FAILED = define(EventType(name="notification.failed", publishers=("notifier",), fields=_ABOUT))
# It came back: the person was not reached.
RETURNED = define(EventType(name="notification.returned", publishers=("notifier",), fields=_ABOUT))
