"""The last letter: one row for each erasure, the letters sealed for it, and the one outcome it tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from services.notifier.model.notifications import Channel


class LetterState(StrEnum):
    """How far the last letter of one erasure has come."""

    ASKED = "asked"
    SEALED = "sealed"
    NOBODY = "nobody"
    CANCELLED = "cancelled"
    DONE = "done"


class Outcome(StrEnum):
    """How the last letter ended, as the erasure's certificate says."""

    SENT = "sent"
    UNKNOWN = "unknown"
    UNDELIVERABLE = "undeliverable"
    NOBODY = "nobody"


class SealedState(StrEnum):
    """Whether a sealed letter waits, or is being handed over."""

    SEALED = "sealed"
    SENDING = "sending"


@dataclass(frozen=True, slots=True, kw_only=True)
class LastLetter:
    """How far the last letter of one erasure request has come. Its id is the request's; nothing in it is personal.

    at: when the row was made. asked_at: when the family asked, where the event said so. due_at: until when it may be
    handed over, None before the erasure is proven. tries: hand-overs that failed. ended: how each letter ended that
    is no longer sealed.
    """

    id: str
    case_id: str
    at: datetime
    state: LetterState = LetterState.ASKED
    outcome: Outcome | None = None
    ended: tuple[Outcome, ...] = ()
    tries: int = 0
    asked_at: datetime | None = None
    due_at: datetime | None = None
    done_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedContent:
    """A last letter and where it goes. email, to: where email was agreed to. The `repr` shows none of it."""

    name: str = field(repr=False)
    address: tuple[str, ...] = field(repr=False)
    to: str | None = field(default=None, repr=False)
    email: Mapping[str, str] | None = field(default=None, repr=False)
    pdf: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedLetter:
    """One person's last letter, sealed under its request's own key. attempt: the hand-over that is under way."""

    id: str
    case_id: str
    request: str
    person_id: str
    channel: Channel
    personal: SealedContent
    state: SealedState = SealedState.SEALED
    attempt: str | None = None
    version: int = 1


def letter_key(request: str) -> str:
    """The name of the key that the last letters of one request are sealed under."""
    return f"letter:{request}"


def outcome_of(ended: Iterable[str]) -> Outcome:
    """One outcome for all letters of an erasure: a doubt about any is a doubt; otherwise one that went is enough."""
    found = set(ended)
    for outcome in (Outcome.UNKNOWN, Outcome.SENT, Outcome.UNDELIVERABLE):
        if outcome in found:
            return outcome
    return Outcome.NOBODY
