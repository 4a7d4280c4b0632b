"""A case: a shell until the family agrees, then open, inactive or closed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from services.case.model.people import Person
from services.case.model.reach import Reach, reach_of
from shared.errors import Conflict, ConsentRequired, Forbidden
from shared.known_consents import NO_CONSENT_SENTENCE

SHELL, OPEN, INACTIVE, CLOSED = "shell", "open", "inactive", "closed"
#: What a case may be put into; a shell is only ever made, and only consent opens it.
SETTABLE: Final = (OPEN, INACTIVE, CLOSED)
CHANNELS: Final = ("phone", "in_person", "email", "letter", "form", "website")
#: Intervention levels of an information, advice and support service, 1 (information) to 4 (intensive work).
LEVELS: Final = (1, 2, 3, 4)
#: A consent recorded in a shell's last moments is heard of within about a second; the sweep waits this much longer.
SWEEP_GRACE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Nothing in it is personal. `version` counts changes of the case and of its people, from 1."""

    id: str
    reference: str
    state: str
    channel: str
    created_at: datetime
    expires_at: datetime | None
    level: int | None = None
    version: int = 0

    @property
    def case_id(self) -> str:
        """The case that the record is of: itself."""
        return self.id

    def has_expired(self, now: datetime) -> bool:
        """Whether it is a shell whose time is over: it counts as ended whether or not it was swept."""
        return self.state == SHELL and self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingIntake:
    """A shell that waits for the people and wishes of an intake. Its record's id is the case's.

    It is removed when they have come, so that a delivery that is repeated adds no one a second time.
    """

    case_id: str
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseView:
    """A case as callers see it: with its people in the order they were added, whether it is frozen, and whether all
    contact with the family has stopped."""

    case: Case
    people: Sequence[Person]
    frozen: bool
    contact_stopped: bool = False

    @property
    def reach(self) -> list[Reach]:
        return reach_of(self.people)

    @property
    def etag(self) -> str:
        return etag_of(self.case, frozen=self.frozen)


def etag_of(case: Case, *, frozen: bool) -> str:
    """What changes whenever an answer about the case would."""
    return f"{case.version}-{'frozen' if frozen else 'free'}"


def new_shell(*, id: str, reference: str, channel: str, life: timedelta, now: datetime) -> Case:
    """A case that the family has not agreed to yet: a reference, and nothing personal (P4)."""
    return Case(id=id, reference=reference, state=SHELL, channel=channel, created_at=now, expires_at=now + life)


def opened(case: Case) -> Case:
    """The shell, now that casework was agreed to; any other case as it is."""
    return replace(case, state=OPEN, expires_at=None) if case.state == SHELL else case


def require_not_closed(case: Case) -> None:
    """Raises Conflict where the work is over: meetings, and contacts with others, are for a file that goes on (P5)."""
    if case.state == CLOSED:
        raise Conflict(
            "This case is closed: a meeting, or contact with an organisation, needs one that isn't. Nothing "
            "was stored. A manager may reopen it."
        )


def moved(case: Case, state: str, *, by_manager: bool, casework_stands: bool, has_outcome: bool) -> Case:
    """The case in another state (P9, P20: `inactive` is not `closed`).

    Raises ConsentRequired for a shell, and for opening where casework doesn't stand; Forbidden for reopening by
    anyone but a manager; Conflict for closing without an outcome.
    """
    if case.state == SHELL:
        raise ConsentRequired(NO_CONSENT_SENTENCE)
    if case.state == CLOSED and state != CLOSED and not by_manager:
        raise Forbidden("Reopening a closed case is for a manager. Nothing was changed.")
    if state == case.state:
        return case
    if state == OPEN and not casework_stands:
        raise ConsentRequired(NO_CONSENT_SENTENCE)
    if state == CLOSED and not has_outcome:
        raise Conflict(
            "A case can't be closed before what came of it is recorded. Nothing was changed. "
            "Add an entry of kind outcome; that it isn't known may be said on purpose."
        )
    return replace(case, state=state)
