"""The people of a case, as far as this service knows them: ids and roles, as the case service last told."""

from __future__ import annotations

from dataclasses import dataclass

from shared.events.case import ADULTS


@dataclass(frozen=True, slots=True, kw_only=True)
class CasePerson:
    """One of them. person: their id."""

    person: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CasePeople:
    """All of them, in the order they were added. Its record's id is the case's; version 0: not stored yet."""

    case_id: str
    people: tuple[CasePerson, ...] = ()
    version: int = 0

    @property
    def first_adult(self) -> str | None:
        """The adult added first: a consent that names no person speaks for them."""
        return next((one.person for one in self.people if one.role in ADULTS), None)

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(one.person for one in self.people)

    def role_of(self, person_id: str) -> str | None:
        return next((one.role for one in self.people if one.person == person_id), None)
