"""Runs of the daily clock, and when one stops until a person confirms it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from shared.clock import CLOCKS_DIFFER

#: A run further than this past the last one must be confirmed: a clock that is wrong must not end files.
FARTHEST: Final = timedelta(days=10)
#: The id under which the last run is kept.
LAST_RUN: Final = "last"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockRun:
    """One run. at: the time that it was about; time travel can take it ahead of `ran_at`, when it ran.

    Kept are the last run, each that was confirmed, and each that time travel took ahead.
    """

    id: str
    at: datetime
    ran_at: datetime
    confirmed_by: str | None = None


class Stopped(StrEnum):
    """Why a run stopped."""

    BEHIND = "behind"
    TOO_FAR = "too_far"
    TOO_MANY = "too_many"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many of each fall due.

    shells: whose time is over. letters, reminders: reviews to be written about. silences: reviews without an answer.
    expiries: cases with a consent whose last day is over. rights: cases whose young people are looked at.
    """

    shells: int = 0
    letters: int = 0
    reminders: int = 0
    silences: int = 0
    expiries: int = 0
    rights: int = 0


def stops(counts: Counts, *, now: datetime, last: datetime | None, most: int) -> Stopped | None:
    """Why this run must be confirmed; None where it needn't be.

    last: the time of the last run, None for the first. most: how many may expire in a run (FMN_CLOCK_MAX).
    """
    if last is not None and now < last - CLOCKS_DIFFER:
        return Stopped.BEHIND
    if last is not None and now > last + FARTHEST:
        return Stopped.TOO_FAR
    if counts.silences + counts.expiries > most:
        return Stopped.TOO_MANY
    return None
