"""Working days: Monday to Friday, less England's bank holidays and the office's own published closures.

Day 0 is the London day of receipt at any hour (P24). A closure counts only when it was published before
the receipt: an office can't move a deadline after it has started to run.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache

from shared.clock import LONDON


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """A day on which the office is shut, and the day that was made known."""

    day: date
    published: date


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingDays:
    """England's working days as this office keeps them."""

    closures: tuple[Closure, ...] = field(default=())

    @classmethod
    def parse(cls, entries: Iterable[str]) -> WorkingDays:
        """From settings: `2026-12-29@2026-10-01`, a closure and the day it was published.

        A closure without the second date was always known. Raises ValueError for what isn't a date.
        """
        closures = []
        for entry in entries:
            day, _, published = entry.strip().partition("@")
            known = date.fromisoformat(published) if published else date.min
            closures.append(Closure(day=date.fromisoformat(day), published=known))
        return cls(closures=tuple(closures))

    def is_working(self, day: date, *, received_on: date) -> bool:
        """Whether the office works that day, as it stood for what was received on `received_on`."""
        if day.weekday() >= 5 or day in _bank_holidays():
            return False
        return not any(c.day == day and c.published < received_on for c in self.closures)

    def after(self, received_on: date, working_days: int) -> date:
        """The nth working day after the day of receipt.

        Thu 2 Apr 2026 and 2 → Wed 8 Apr 2026; Thu 24 Dec 2026 and 2 → Wed 30 Dec 2026.
        """
        day = received_on
        while working_days > 0:
            day += timedelta(days=1)
            if self.is_working(day, received_on=received_on):
                working_days -= 1
        return day


def london_day(moment: datetime) -> date:
    """The day it is in London at that moment."""
    return moment.astimezone(LONDON).date()


def end_of_day(day: date) -> datetime:
    """The last second of the day in London, in UTC."""
    return datetime.combine(day, time(23, 59, 59), LONDON).astimezone(UTC)


@cache
def _bank_holidays() -> Container[date]:
    """England's, loaded when first a day is reckoned: few processes ever do, and all would start later for it."""
    import holidays

    return holidays.country_holidays("GB", subdiv="ENG")
