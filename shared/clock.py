"""The time, read in one place so that everything else is handed it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

LONDON = ZoneInfo("Europe/London")
#: Before anything here happened: due, lapsed or done long since, whatever a clock says.
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)

#: What is dated later than this from now was written by a clock that has since been put right.
CLOCKS_DIFFER = timedelta(minutes=1)


def utc_now() -> datetime:
    """Now, in UTC, to the millisecond (what MongoDB keeps, so that what is read back is what was written)."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def to_millisecond(moment: datetime) -> datetime:
    """The moment in UTC, cut to the millisecond."""
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
