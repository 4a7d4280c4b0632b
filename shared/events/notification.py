"""Events of the notifier about letters: whether those of a review reached the person, and which can't be printed."""

from __future__ import annotations

from shared.events.base import EventType, define
from shared.events.consent import REVIEW_LETTERS
from shared.fields import Count, Field, Group, Id, List, Time, one_of

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
# All letters of the case that wait because no font has a character in them; it opens and settles tasks.
UNPRINTABLE = define(
    EventType(
        name="notification.unprintable",
        publishers=("notifier",),
        fields={"case": Id(), "letters": List(Group({"notification": Id(), "held_at": Time()}))},
        topic="unprintable",
    )
)
