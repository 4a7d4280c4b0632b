"""Safe contact: the ways in which somebody may be reached, as far as they were asked about (P18)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from services.case.model.folding import fold
from shared.errors import Invalid

if TYPE_CHECKING:
    from services.case.model.people import Person

YES, PLAIN, NO = "yes", "plain", "no"
#: Plain post names no service, on the envelope or inside its window.
POST: Final = (YES, PLAIN, NO)
YES_NO: Final = (YES, NO)
WAYS: Final = ("post", "email", "phone", "voicemail", "text")
#: The field of a person that, once given, counts as asked about.
GIVEN_WITH: Final = {"post": "address", "email": "email", "phone": "phone"}
STOPS: Final = ("death", "adoption", "court_order")
_CLOCK_LEEWAY: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class SafeContact:
    """What somebody said of each way to reach them. None: not asked about, so the way isn't used.

    post: yes, plain or no; the others: yes or no. asked_at: when they were last asked; None when they never were.
    """

    post: str | None = None
    email: str | None = None
    phone: str | None = None
    voicemail: str | None = None
    text: str | None = None
    asked_at: datetime | None = None

    @property
    def refuses_all(self) -> bool:
        """Whether every way was asked about, and none is left."""
        return all(getattr(self, way) == NO for way in WAYS)

    @property
    def leaves_none(self) -> bool:
        """Whether no way may be used: refused, or not asked about."""
        return not any(self.allows(way) for way in WAYS)

    def allows(self, way: str) -> bool:
        return getattr(self, way) in (YES, PLAIN)


def asked(said: Mapping[str, Any], *, now: datetime) -> SafeContact:
    """What was said when they were asked, at `asked_at` or now. Raises Invalid for a time that hasn't come yet."""
    at = said.get("asked_at") or now
    if at > now + _CLOCK_LEEWAY:
        raise Invalid(
            "Somebody can't have been asked in the future. Nothing was changed.",
            errors={"asked_at": ["It must not be later than now."]},
        )
    return SafeContact(**{way: said.get(way) for way in WAYS}, asked_at=at)


def with_given(person: Person, before: Person | None, *, now: datetime) -> Person:
    """The person, with each way that was newly given with them asked about and yes, as of now.

    before: the person until now, None for a new one. What they said of a way already stays as they said it.
    """
    safe = person.safe_contact
    newly = {
        way: YES
        for way, field in GIVEN_WITH.items()
        if getattr(person, field) is not None
        and (before is None or getattr(before, field) is None)
        and getattr(safe, way) is None
    }
    if not newly:
        return person
    return replace(person, safe_contact=replace(safe, **newly, asked_at=now))


def check_somebody_is_left(people: Sequence[Person], changed: Person) -> None:
    """Raises Invalid where the only person of a file is left without any way: nobody could ever be told anything."""
    if changed.safe_contact.leaves_none and all(one.id == changed.id for one in people):
        raise Invalid(
            "The only person of this file can't be left without any way to be reached. Nothing was changed. "
            "Ask which way is safe, or record that all contact stops and why.",
            errors={"post": ["At least one way must be left for the only person."]},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How one person may be written to now. post: yes, plain or no; email: yes or no."""

    person_id: str
    post: str
    email: str


def reach_of(people: Sequence[Person]) -> list[Reach]:
    """Each person's reach, in the same order: there is an address, it was asked about, and it harms nobody."""
    return [
        Reach(
            person_id=one.id,
            post=str(one.safe_contact.post) if post_reaches(one, people) else NO,
            email=YES if email_reaches(one) else NO,
        )
        for one in people
    ]


def post_reaches(person: Person, people: Sequence[Person]) -> bool:
    """Whether a letter may go to this person: never to the household of somebody who is kept apart."""
    if person.address is None or not person.safe_contact.allows("post"):
        return False
    apart = {household(one) for one in people if one.kept_apart and one.address is not None}
    return not person.kept_apart and household(person) not in apart


def email_reaches(person: Person) -> bool:
    return person.email is not None and person.safe_contact.allows("email")


def household(person: Person) -> str:
    """One word for an address however it was written; empty without one."""
    return fold("".join(person.address or ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """All contact with a family has stopped: why, in whose words, and since when."""

    case_id: str
    reason: str
    words: str | None
    by: str
    at: datetime
