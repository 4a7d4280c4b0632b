"""The clock is read here alone; all other code is given the time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

LONDON = ZoneInfo("Europe/London")
#: A time before everything that the system stores: due, lapsed or done by any clock.
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)

#: A time further ahead than this was written by a clock that has been corrected since.
CLOCKS_DIFFER = timedelta(minutes=1)


def utc_now() -> datetime:
    """Now, in UTC, to the millisecond (what MongoDB keeps, so that what is read back is what was written)."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def to_millisecond(moment: datetime) -> datetime:
    """The moment in UTC, cut to the millisecond."""
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
