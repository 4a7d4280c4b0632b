"""An intake: a case, the consent to it, its people and their first wishes, as one act."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from services.consent.model.consents import YOUNG, Consent
from services.consent.model.rights import Young, calendar_of

#: No person has lived longer; the case service refuses such a date, and no school year is reckoned from it.
_MAX_AGE_YEARS = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What is to be made. people, wishes: as their own routes of the case service take them, each with its `id`.

    channel: how the family came. Its repr shows ids alone, so that no person ends up in a log.
    """

    given: Consent = field(repr=False)
    channel: str
    people: Sequence[Mapping[str, Any]] = field(repr=False)
    wishes: Sequence[Mapping[str, Any]] = field(repr=False)

    @property
    def case_id(self) -> str:
        return self.given.case_id

    def role_of(self, person_id: str) -> str | None:
        return next((str(one["role"]) for one in self.people if one["id"] == person_id), None)

    def young(self, *, today: date) -> list[Young]:
        """The children and young people, with the day on which rights pass to each, where it is known."""
        return [
            Young(id=one["id"], case_id=self.case_id, pass_on=_pass_on(one.get("date_of_birth"), today))
            for one in self.people
            if one["role"] in YOUNG
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingIntake:
    """People and wishes that the case service doesn't have yet; sealed whole. Its record's id is the case's.

    personal: {people, wishes, by, at, standing, seq}, as the case service takes it.
    """

    case_id: str
    personal: Mapping[str, Any] = field(repr=False)
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenIn:
    """What was made. case, people, wishes: as the case service shows them; etag: the case's."""

    given: Consent = field(repr=False)
    case: Mapping[str, Any] = field(repr=False)
    people: Sequence[Mapping[str, Any]] = field(repr=False)
    wishes: Sequence[Mapping[str, Any]] = field(repr=False)
    etag: str


def _pass_on(text: str | None, today: date) -> date | None:
    born = None if text is None else date.fromisoformat(text)
    if born is None or born > today or today.year - born.year > _MAX_AGE_YEARS:
        return None
    return calendar_of(born).pass_on
