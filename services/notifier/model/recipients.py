"""Whom the notifier may write to: as events tell of a case, and as the case service has its people now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.notifier.model.notifications import Channel
from shared.events.case import ADULTS
from shared.known_consents import CASEWORK, EMAIL, StandingConsent


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPerson:
    """A person of the case as events tell it: whether there is an address, and an email address."""

    person: str
    role: str
    post: bool
    email: bool

    @property
    def is_adult(self) -> bool:
        return self.role in ADULTS


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCase:
    """What events have told of a case. Its record's id is the case's; version 0 isn't stored yet.

    before: the consents that stood when the case was frozen, None while it isn't. frozen_seq: the consent service's
    count at that moment. stopped: the family isn't written to, after a death, an adoption or a court order.
    """

    case_id: str
    state: str | None = None
    opened_at: datetime | None = None
    people: tuple[KnownPerson, ...] = ()
    standing: tuple[StandingConsent, ...] = ()
    before: tuple[StandingConsent, ...] | None = None
    frozen_seq: int | None = None
    frozen_at: datetime | None = None
    stopped: bool = False
    version: int = 0

    @property
    def standing_before_request(self) -> tuple[StandingConsent, ...]:
        """The consents that the last letter goes by: as they stood before the erasure was asked for."""
        return self.standing if self.before is None else self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person as the case service has them now, with only the ways in which they may be reached.

    plain: their post names no service on the envelope or in its window. withheld: ways that they could be written
    to, but that what is recorded about safe contact doesn't allow. The `repr` hides name and addresses.
    """

    id: str
    role: str
    name: str = field(repr=False)
    address: tuple[str, ...] = field(repr=False)
    email: str | None = field(repr=False)
    preferred: str | None
    formats: tuple[str, ...]
    plain: bool = False
    withheld: frozenset[Channel] = frozenset()

    @property
    def is_adult(self) -> bool:
        return self.role in ADULTS

    @property
    def takes_email(self) -> bool:
        """Whether email could be the way: there is an address, and they didn't ask for letters (P18)."""
        return bool(self.email) and self.preferred != Channel.LETTER


def first_adult(people: Iterable[KnownPerson]) -> str | None:
    """The adult added first: a consent that names no person speaks for them."""
    return next((known.person for known in people if known.is_adult), None)


def has_agreed(
    standing: Iterable[StandingConsent], purpose: str, person: str, people: Iterable[KnownPerson], now: datetime
) -> bool:
    """Whether that person's consent for the purpose stands at `now`."""
    first = first_adult(people)
    return any(one.purpose == purpose and (one.person or first) == person and one.stands(now) for one in standing)


def due_an_opening_letter(case: KnownCase, now: datetime) -> list[tuple[str, Channel]]:
    """The adults that an opening letter is due to, each with the channel as far as events tell."""
    if case.state != "open" or case.stopped:
        return []
    due: list[tuple[str, Channel]] = []
    for known in case.people:
        if not known.is_adult or not has_agreed(case.standing, CASEWORK, known.person, case.people, now):
            continue
        if known.email and has_agreed(case.standing, EMAIL, known.person, case.people, now):
            due.append((known.person, Channel.EMAIL))
        elif known.post:
            due.append((known.person, Channel.LETTER))
    return due


def people_of(case: Mapping[str, Any]) -> list[Person]:
    """The people in the case service's answer, in the order they were added."""
    reach = {one["person_id"]: one for one in case["reach"]}
    return [_person(one, reach[one["id"]]) for one in case.get("people", ())]


def _person(shown: Mapping[str, Any], reach: Mapping[str, Any]) -> Person:
    address = tuple(shown.get("address") or ())
    email = shown.get("email") or None
    by_post, by_email = reach["post"] != "no", reach["email"] == "yes"
    withheld = {Channel.LETTER: address and not by_post, Channel.EMAIL: email and not by_email}
    return Person(
        id=str(shown["id"]),
        role=str(shown["role"]),
        name=" ".join(part for part in (shown.get("given_name"), shown.get("family_name")) if part),
        address=address if by_post else (),
        email=email if by_email else None,
        preferred=shown.get("preferred_channel"),
        formats=tuple(shown.get("formats") or ()),
        plain=reach["post"] == "plain",
        withheld=frozenset(way for way, there in withheld.items() if there),
    )


def as_known(people: Iterable[Person]) -> list[KnownPerson]:
    """The same people as events would tell of them."""
    return [KnownPerson(person=one.id, role=one.role, post=bool(one.address), email=bool(one.email)) for one in people]
