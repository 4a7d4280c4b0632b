"""The annual review: what is to be done next about one person's consent to a file, and when (P20, P21, P22).

Silence counts only from real hand-overs, each with its full window before; a person who wasn't reached isn't silent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from services.consent.model.consents import Consent, Standing
from services.consent.model.histories import same_person
from shared.clock import LONDON
from shared.known_consents import CASEWORK

#: How much longer silence takes once a letter came back, and how long before an expiry an entry counts (P22).
AFTER_A_RETURN = timedelta(days=28)
QUIET = timedelta(days=28)
#: How soon a review is looked at again where contact has stopped, or the person can't be reached.
_LOOK_AGAIN = timedelta(days=1)


class State(StrEnum):
    """Where a review is. over: its consent ended, or gave way to a newer one, before anything was answered."""

    SCHEDULED = "scheduled"
    ASKED = "asked"
    ANSWERED = "answered"
    SILENT = "silent"
    OVER = "over"


OPEN = frozenset({State.SCHEDULED, State.ASKED})


class Letter(StrEnum):
    """What the notifier is asked to send; the names of its templates."""

    REVIEW = "review"
    REMINDER = "review_reminder"


class Answer(StrEnum):
    RENEW = "renew"
    FORGET = "forget"


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """How long silence is before it counts, and when it is reminded of. Raises ValueError for a reminder too late."""

    window: timedelta = timedelta(days=28)
    reminder: timedelta = timedelta(days=14)

    def __post_init__(self) -> None:
        if not timedelta() < self.reminder < self.window:
            raise ValueError("a reminder comes after the letter and before the window is over")

    @property
    def after_reminder(self) -> timedelta:
        return self.window - self.reminder


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One person's review in one cycle, which began with the consent `consent_id` (theirs to the file).

    round: how often it was begun anew, for another address. asked_at, reminded_at: the clock's time at which a letter
    was asked for. handed_at, reminder_handed_at: from when it counts. unreached: it couldn't be handed over.
    returned_at: when it was known that a letter of this round came back. next_at: when the clock looks at it; None
    while it waits for a hand-over. ways: a digest of the address and email it was written to (sealed).
    """

    id: str
    case_id: str
    consent_id: str
    person_id: str | None
    due_on: date
    state: State = State.SCHEDULED
    round: int = 1
    asked_at: datetime | None = None
    handed_at: datetime | None = None
    reminded_at: datetime | None = None
    reminder_handed_at: datetime | None = None
    unreached: bool = False
    returned_at: datetime | None = None
    next_at: datetime | None = None
    decision: Answer | None = None
    answered_at: datetime | None = None
    channel: str | None = None
    request_id: str | None = None
    ways: str | None = field(default=None, repr=False)
    by: str | None = field(default=None, repr=False)
    version: int = 1


def a_year_after(day: date) -> date:
    """The same day a year on; 29 February → 28 February."""
    try:
        return day.replace(year=day.year + 1)
    except ValueError:
        return date(day.year + 1, 2, 28)


def begins_at(day: date) -> datetime:
    """The first moment of that day in London."""
    return datetime.combine(day, time(), LONDON)


def counts_from(handed_over_at: datetime, *, asked_at: datetime) -> datetime:
    """A hand-over counts from the later of its own time and the clock's time at which it was asked for."""
    return max(handed_over_at, asked_at)


class Due(StrEnum):
    """What the clock would do about a review, as far as the review itself tells."""

    WRITE = "write"
    REMIND = "remind"
    EXPIRE = "expire"


class Do(StrEnum):
    """What is done about it, now that the case was asked too."""

    WRITE = "write"
    REMIND = "remind"
    EXPIRE = "expire"
    ASK_BY_PHONE = "ask_by_phone"
    CALL = "call"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What is to be done now, and when the clock looks again (None: when something is heard)."""

    do: Do
    look_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What the case says of a review at that moment.

    ways: a digest of how the person may be written to, None where they may not be. stopped: all contact with the
    family has. last_entry_at: when the last entry was made on the file.
    """

    ways: str | None
    stopped: bool = False
    last_entry_at: datetime | None = None


def expires_at(review: Review, windows: Windows) -> datetime | None:
    """When silence counts at the earliest; None while nothing was handed over that it could count from."""
    if review.handed_at is None or review.unreached:
        return None
    ends = [review.handed_at + windows.window]
    if review.reminder_handed_at is not None:
        ends.append(review.reminder_handed_at + windows.after_reminder)
    elif review.returned_at is None:
        return None
    if review.returned_at is None:
        return max(ends)
    # What came back stops the counting for so long: a letter that came back at once gives as much more as a late one.
    return max(*ends, review.returned_at) + AFTER_A_RETURN


def due(review: Review, *, now: datetime, windows: Windows) -> Due | None:
    """What falls due of it at `now`, by the review alone."""
    if review.state is State.SCHEDULED:
        return Due.WRITE if begins_at(review.due_on) <= now else None
    if review.state is not State.ASKED:
        return None
    over = expires_at(review, windows)
    if over is not None:
        return Due.EXPIRE if over <= now and not _waits_for_quiet(review, now) else None
    if review.unreached or review.handed_at is None or review.reminded_at is not None or review.returned_at is not None:
        return None
    return Due.REMIND if review.handed_at + windows.reminder <= now else None


def _waits_for_quiet(review: Review, now: datetime) -> bool:
    """Whether it was to be asked by phone instead, and the time for that isn't over."""
    return review.next_at is not None and review.next_at > now


def next_step(review: Review, circumstances: Circumstances, *, now: datetime, windows: Windows) -> Next:
    """What is to be done about an open review, and when to look again."""
    if circumstances.stopped:
        # Silence is paused, and no letter is sent.
        return Next(do=Do.WAIT, look_at=now + _LOOK_AGAIN)
    falls_due = due(review, now=now, windows=windows)
    unheard = review.state is State.ASKED and (review.unreached or review.returned_at is not None)
    if unheard and circumstances.ways is not None and circumstances.ways != review.ways:
        # A second address: written to again, with every window in full.
        return Next(do=Do.WRITE)
    if falls_due is not None and circumstances.ways is None:
        # A person who can't be reached hasn't been silent.
        return Next(do=Do.CALL, look_at=now + _LOOK_AGAIN)
    if falls_due is Due.EXPIRE:
        if circumstances.last_entry_at is not None and now - circumstances.last_entry_at < QUIET:
            return Next(do=Do.ASK_BY_PHONE, look_at=now + QUIET)
        return Next(do=Do.EXPIRE)
    if falls_due is not None:
        return Next(do=Do(falls_due))
    return Next(do=Do.WAIT, look_at=looked_at(review, windows=windows))


def looked_at(review: Review, *, windows: Windows) -> datetime | None:
    """When the clock looks at it next, as it stands; None while it waits to hear something."""
    if review.state is State.SCHEDULED:
        return begins_at(review.due_on)
    if review.state is not State.ASKED or review.unreached:
        return None
    if (over := expires_at(review, windows)) is not None:
        return over if review.next_at is None else max(over, review.next_at)
    if review.handed_at is None or review.reminded_at is not None:
        return None
    return review.handed_at + windows.reminder


def bases(consents: Iterable[Consent], stands: Iterable[Standing], *, first_adult: str | None) -> tuple[Consent, ...]:
    """The last consent to the file of each person whose consent to it stands: what their year counts from."""
    to_file = {s.consent_id for s in stands if s.grant.purpose == CASEWORK}
    last: list[Consent] = []
    for one in sorted((c for c in consents if c.id in to_file), key=lambda c: (c.given_at, c.id)):
        last = [other for other in last if not same_person(one, other, first_adult=first_adult)]
        last.append(one)
    return tuple(last)


def standing_of(
    base: Consent, consents: Sequence[Consent], stands: Iterable[Standing], *, first_adult: str | None
) -> tuple[Standing, ...]:
    """Everything that this person has agreed to and that stands."""
    theirs = {one.id for one in consents if same_person(one, base, first_adult=first_adult)}
    return tuple(s for s in stands if s.consent_id in theirs)
