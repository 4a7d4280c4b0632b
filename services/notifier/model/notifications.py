"""Notifications: their states, what is written in them, and what may be done with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

#: What a caller may send on purpose; the last letter belongs to an erasure alone.
SENT_ON_PURPOSE: Final = frozenset({"opening"})


class Status(StrEnum):
    CREATED = "created"
    SENDING = "sending"
    DELIVERED = "delivered"
    FAILED = "failed"
    RETURNED = "returned"
    CANCELLED = "cancelled"
    NEEDS_ATTENTION = "needs_attention"


class Channel(StrEnum):
    LETTER = "letter"
    EMAIL = "email"


class Reason(StrEnum):
    """Why a notification has its status; a word, so that it may be kept in clear."""

    NO_CONSENT = "no_consent"
    UNREACHABLE = "unreachable"
    NOT_IN_CASE = "not_in_case"
    CANCELLED_BY_STAFF = "cancelled_by_staff"
    REFUSED = "refused"
    NOT_WRITABLE = "not_writable"
    HAND_OVER_UNKNOWN = "hand_over_unknown"
    CAME_BACK = "came_back"
    CONTACT_STOPPED = "contact_stopped"
    ANSWERED = "answered"
    #: No font of a letter has a character in it: in the name, the address or a value.
    SCRIPT_NOT_PRINTABLE = "script_not_printable"
    #: A backup was restored, so it isn't known whether it went.
    RESTORED = "restored"


#: Cancelled by circumstances, not by a person: an opening letter goes after all once they have changed.
REVIVABLE: Final = frozenset({Reason.NO_CONSENT, Reason.UNREACHABLE, Reason.NOT_IN_CASE, Reason.CONTACT_STOPPED})
#: Nothing more happens by itself, and what was written isn't needed any more.
GONE: Final = frozenset({Status.DELIVERED, Status.RETURNED, Status.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A letter's PDF or an email's words, and the values that a caller gave for it. The `repr` shows none of it."""

    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    pdf: bytes | None = field(default=None, repr=False)
    email: Mapping[str, str] | None = field(default=None, repr=False)


NOTHING_KEPT: Final = Content()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One letter or email to one person. Only `personal` is sealed.

    intent: unique; None for one that was sent on purpose. review, round: the annual review it is about, and how often
    that was begun anew. answer_from, answer_days: the days the person has to answer, from the hand-over or from then,
    whichever is later. asked: the channel that a caller asked for; None leaves it to what the person agreed to.
    mailbox_refused: the person's mailbox refused it, so it goes by post. attempt: the hand-over that is under way.
    """

    id: str
    case_id: str
    person_id: str
    template: str
    template_version: int
    channel: Channel
    created_at: datetime
    status: Status = Status.CREATED
    reason: Reason | None = None
    intent: str | None = None
    review: str | None = None
    round: int | None = None
    answer_from: datetime | None = None
    answer_days: int | None = None
    asked: Channel | None = None
    mailbox_refused: bool = False
    attempt: str | None = None
    sending_at: datetime | None = None
    done_at: datetime | None = None
    personal: Content = NOTHING_KEPT
    version: int = 1


def intent(kind: str, template: str, person_id: str) -> str:
    """The one intent of this kind of event, template and recipient, as a digest of those ids."""
    return sha256("|".join((kind, template, person_id)).encode()).hexdigest()


def opening_values(
    case: Mapping[str, Any], *, opened_on: date, purposes: Sequence[Mapping[str, str | None]]
) -> dict[str, Any]:
    """What the opening letter says of its case. purposes: [{purpose, party: a name or None}]."""
    return {"reference": case["reference"], "opened_on": opened_on, "purposes": [dict(one) for one in purposes]}


def review_values(case: Mapping[str, Any], found: Notification, *, now: datetime) -> dict[str, Any]:
    """What a review's letter says: the reference, and the day before which to answer."""
    handed_over = now if found.answer_from is None else max(now, found.answer_from)
    return {"reference": case["reference"], "answer_before": handed_over + timedelta(days=found.answer_days or 0)}


def is_unprintable(found: Notification) -> bool:
    """Whether it is held because it can't be printed. It goes once it can, or once it may go by email."""
    return found.status is Status.NEEDS_ATTENTION and found.reason is Reason.SCRIPT_NOT_PRINTABLE


def may_go(found: Notification) -> bool:
    """Whether it waits to be sent. Each try checks everything anew."""
    return found.status is Status.CREATED or is_unprintable(found)


def may_cancel(status: Status) -> bool:
    """Whether it hasn't been handed over, or that isn't known."""
    return status in (Status.CREATED, Status.NEEDS_ATTENTION, Status.FAILED)


def may_come_back(status: Status) -> bool:
    """Whether it was, or may have been, handed over."""
    return status in (Status.DELIVERED, Status.NEEDS_ATTENTION)
