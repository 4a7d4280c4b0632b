"""How each person of a case may be written to, from their addresses and what they said of each way (P18)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.case.model.folding import fold
from services.case.model.people import Person
from services.case.model.safe_contact import GIVEN_WITH, NO, YES
from shared.errors import Invalid


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How one person may be written to now. post: yes, plain or no; email: yes or no."""

    person_id: str
    post: str
    email: str


def reach_of(people: Sequence[Person]) -> list[Reach]:
    """Each person's reach, in the same order: there is an address, they allowed the way, and it harms no one."""
    apart = {household(one) for one in people if one.kept_apart and one.address is not None}
    return [Reach(person_id=one.id, post=_post(one, apart), email=_email(one)) for one in people]


def _post(person: Person, apart: set[str]) -> str:
    """Never for a person who is kept apart, nor for anyone else in their household: a letter might give them away."""
    safe = person.safe_contact
    if person.address is None or not safe.allows("post") or person.kept_apart or household(person) in apart:
        return NO
    return str(safe.post)


def _email(person: Person) -> str:
    return YES if person.email is not None and person.safe_contact.allows("email") else NO


def household(person: Person) -> str:
    """One word for an address, however it was written; empty without one."""
    return fold("".join(person.address or ()))


def with_given(person: Person, before: Person | None, *, now: datetime) -> Person:
    """The person, with each way that was newly given with them asked about and yes, as of now.

    before: the person until now, None for a new one. What they have said of a way already stays as it is.
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


def check_a_way_is_left(people: Sequence[Person], changed: Person) -> None:
    """Raises Invalid where the only person of a file is left without any way to be told anything."""
    if changed.safe_contact.leaves_none and all(one.id == changed.id for one in people):
        raise Invalid(
            "The only person of this file can't be left without any way to be reached. Nothing was changed. "
            "Ask which way is safe, or record that all contact stops and why.",
            errors={"post": ["At least one way must be left for the only person."]},
        )
