"""Entries: the timeline of a case, added to and never changed (P9, P12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from shared.errors import Forbidden, Invalid
from shared.text import has_something_visible, trimmed

KINDS: Final = ("wish", "action", "outcome", "note", "meeting")
OUTCOME: Final = "outcome"
MEETING: Final = "meeting"
MAX_PAPERS: Final = 50
MAX_TEXT_CHARACTERS: Final = 20_000
#: A meeting may be noted before it takes place; a later date than this is a typing error.
MAX_AHEAD: Final = timedelta(days=366)
_MAX_BACK: Final = timedelta(days=130 * 366)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that was wished for, done, noted, met about, or came of it.

    recorded_at, recorded_by: when it was written down, and by whose `sub`. corrects: the entry that this one amends;
    both go on being shown (P12). place, papers: of a meeting, where it is and what is needed there (P5).
    """

    id: str
    case_id: str
    kind: str
    happened_at: datetime
    recorded_at: datetime
    recorded_by: str
    corrects: str | None = None
    level: int | None = None
    version: int = 0
    text: str = field(repr=False)
    place: str | None = field(default=None, repr=False)
    papers: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryView:
    """An entry with the ids of those that correct it, oldest first."""

    entry: Entry
    corrected_by: tuple[str, ...] = ()


def check_text(text: str) -> str:
    """The words without blank ends. Raises Invalid when nothing is left that can be seen."""
    words = trimmed(text)
    if not has_something_visible(words):
        raise Invalid("An entry needs words. Nothing was stored.", errors={"text": ["It can't be blank."]})
    return words


def check_at(at: datetime | None, now: datetime) -> datetime:
    """When it happened: now, unless said. Raises Invalid for a time that can't be meant."""
    if at is None:
        return now
    # Compared as spans, so that the first and last days of the calendar don't overflow.
    if at - now > MAX_AHEAD or now - at > _MAX_BACK:
        raise Invalid(
            "The time of this entry is too far away to be meant. Nothing was stored.",
            errors={"at": ["It must be within a year from now, and in living memory."]},
        )
    return at


def check_meeting(kind: str, place: str | None, papers: Sequence[str]) -> None:
    """Raises Invalid where anything but a meeting has a place or papers."""
    if kind == MEETING:
        return
    wrong = [name for name, given in (("place", place is not None), ("papers", bool(papers))) if given]
    if wrong:
        raise Invalid(
            "Only a meeting has a place and the papers it needs. Nothing was stored; send it as a meeting, or without.",
            errors={name: ["This is for an entry of kind meeting."] for name in wrong},
        )


def check_level(level: int | None, *, by_manager: bool) -> int | None:
    """Raises Forbidden when anyone but a manager sets the work level."""
    if level is not None and not by_manager:
        raise Forbidden("Setting the level of work is for a manager. Nothing was stored; send it without the level.")
    return level
