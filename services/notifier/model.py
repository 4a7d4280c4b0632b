"""Notifications, whom they may go to, and the last letter: states and rules, pure Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any

#: Those who are written to; a child never is, nor anyone else in the file (API.md, Notifier).
ADULTS = frozenset({"parent", "carer", "young_person"})
#: What a caller may send on purpose; the last letter belongs to an erasure alone.
SENT_ON_PURPOSE = frozenset({"opening"})


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
    """Why a notification is where it is; a word, so that it may stand in clear."""

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


#: Stopped by how things stood, not by a person: an opening letter goes after all once they stand otherwise.
REVIVABLE = frozenset({Reason.NO_CONSENT, Reason.UNREACHABLE, Reason.NOT_IN_CASE, Reason.CONTACT_STOPPED})
#: Nothing more will be done by itself, and nobody needs what was written any more.
GONE = frozenset({Status.DELIVERED, Status.RETURNED, Status.CANCELLED})


class LetterState(StrEnum):
    """How far the last letter of one erasure has come."""

    ASKED = "asked"
    SEALED = "sealed"
    NOBODY = "nobody"
    CANCELLED = "cancelled"
    DONE = "done"


class Outcome(StrEnum):
    """How the last letter ended, as its certificate says."""

    SENT = "sent"
    UNKNOWN = "unknown"
    UNDELIVERABLE = "undeliverable"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A person of the case as events tell it: whether there is an address, and an email address."""

    person: str
    role: str
    post: bool
    email: bool

    @property
    def is_adult(self) -> bool:
        return self.role in ADULTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Stands:
    """One purpose that is agreed to. person None: the consent names nobody."""

    consent: str
    purpose: str
    party: str | None
    document_kind: str | None
    person: str | None
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """What events have told of a case. `before` is what stood when it was frozen, None while it isn't.

    stopped: nobody of the family is written to any more, after a death, an adoption or a court order.
    """

    case_id: str
    state: str | None = None
    opened_at: datetime | None = None
    people: tuple[Known, ...] = ()
    standing: tuple[Stands, ...] = ()
    before: tuple[Stands, ...] | None = None
    frozen_seq: int | None = None
    frozen_at: datetime | None = None
    stopped: bool = False

    @property
    def stood(self) -> tuple[Stands, ...]:
        """The consents that the last letter goes by: as they stood before the erasure was asked for."""
        return self.standing if self.before is None else self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody as the case service has them now; only the ways in which they may be reached. The `repr` hides them.

    plain: their post names no service on the envelope or in its window.
    """

    id: str
    role: str
    name: str = field(repr=False)
    address: tuple[str, ...] = field(repr=False)
    email: str | None = field(repr=False)
    preferred: str | None
    formats: tuple[str, ...]
    plain: bool = False

    @property
    def is_adult(self) -> bool:
        return self.role in ADULTS

    @property
    def takes_email(self) -> bool:
        """Whether email could be the way: there is an address, and they didn't ask for letters (P18)."""
        return bool(self.email) and self.preferred != Channel.LETTER


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One letter or email to one person.

    review, round: the annual review it is about, and how often that was begun anew. answer_from, answer_days: the days
    they have to answer, from its hand-over or from then, whichever is later.
    asked: the channel somebody asked for; None leaves it to what the person agreed to. mailbox_refused: their email
    was refused, so that it goes by post. attempt: whose hand-over it is, while it is being handed over.
    """

    id: str
    case_id: str
    person_id: str
    template: str
    template_version: int
    channel: Channel
    status: Status
    created_at: datetime
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
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LastLetter:
    """One last letter, written: {name, address, to?, email?, pdf?}. The `repr` shows none of it."""

    person_id: str
    channel: Channel
    personal: Mapping[str, Any] = field(repr=False)


def intent(kind: str, template: str, person_id: str) -> str:
    """The one intent of this kind of event, template and recipient, as a digest of those ids."""
    return sha256("|".join((kind, template, person_id)).encode()).hexdigest()


def first_adult(people: Iterable[Known]) -> str | None:
    """The adult added first: a consent that names nobody speaks for them."""
    return next((known.person for known in people if known.is_adult), None)


def agreed(stands: Iterable[Stands], purpose: str, person: str, people: Iterable[Known], now: datetime) -> bool:
    """Whether that person's consent for the purpose stands at `now`."""
    first = first_adult(people)
    return any(
        one.purpose == purpose and (one.person or first) == person and (one.until is None or now < one.until)
        for one in stands
    )


def to_be_welcomed(case: Projection, now: datetime) -> list[tuple[str, Channel]]:
    """The adults that an opening letter is due to, each with the channel as far as events tell (API.md, Notifier)."""
    if case.state != "open" or case.stopped:
        return []
    due: list[tuple[str, Channel]] = []
    for known in case.people:
        if not known.is_adult or not agreed(case.standing, "casework", known.person, case.people, now):
            continue
        if known.email and agreed(case.standing, "email", known.person, case.people, now):
            due.append((known.person, Channel.EMAIL))
        elif known.post:
            due.append((known.person, Channel.LETTER))
    return due


def people_of(case: Mapping[str, Any]) -> list[Person]:
    """The people in the case service's answer, in the order they were added."""
    reach = {one["person_id"]: one for one in case["reach"]}
    return [
        Person(
            id=str(one["id"]),
            role=str(one["role"]),
            name=" ".join(part for part in (one.get("given_name"), one.get("family_name")) if part),
            address=tuple(one.get("address") or ()) if reach[one["id"]]["post"] != "no" else (),
            email=one.get("email") or None if reach[one["id"]]["email"] == "yes" else None,
            preferred=one.get("preferred_channel"),
            formats=tuple(one.get("formats") or ()),
            plain=reach[one["id"]]["post"] == "plain",
        )
        for one in case.get("people", ())
    ]


def as_known(people: Iterable[Person]) -> list[Known]:
    """The same people in the words of events."""
    return [Known(person=one.id, role=one.role, post=bool(one.address), email=bool(one.email)) for one in people]


def opening_values(
    case: Mapping[str, Any], *, opened_on: date, purposes: Sequence[Mapping[str, str | None]]
) -> dict[str, Any]:
    """What the opening letter says of its case. purposes: [{purpose, party: a name or None}]."""
    return {"reference": case["reference"], "opened_on": opened_on, "purposes": [dict(one) for one in purposes]}


def review_values(case: Mapping[str, Any], found: Notification, *, now: datetime) -> dict[str, Any]:
    """What a review's letter says: the reference, and the day before which to answer."""
    handed_over = now if found.answer_from is None else max(now, found.answer_from)
    return {"reference": case["reference"], "answer_before": handed_over + timedelta(days=found.answer_days or 0)}


def outcome_of(letters: Iterable[str]) -> Outcome:
    """One outcome for all letters of an erasure: a doubt about any is a doubt; otherwise one that went is enough."""
    found = set(letters)
    for outcome in (Outcome.UNKNOWN, Outcome.SENT, Outcome.UNDELIVERABLE):
        if outcome in found:
            return outcome
    return Outcome.NOBODY


def may_cancel(status: Status) -> bool:
    """Before it is handed over, or when nobody can say whether it was."""
    return status in (Status.CREATED, Status.NEEDS_ATTENTION, Status.FAILED)


def may_come_back(status: Status) -> bool:
    return status in (Status.DELIVERED, Status.NEEDS_ATTENTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A letter's PDF or an email's words, and the values that a caller gave for it. The `repr` shows none of it."""

    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    pdf: bytes | None = field(default=None, repr=False)
    email: Mapping[str, str] | None = field(default=None, repr=False)


NOTHING_KEPT = Content()
