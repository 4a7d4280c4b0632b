"""What the independent reader found of an erased case: asked for once every receipt is there, and again until nothing
is found that shouldn't be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.clock import CLOCKS_DIFFER
from shared.events import SERVICES

#: A pass over everything may take a fifth of the time, so that the servers are there for other work.
_SHARE: Final = 5
_SOONEST: Final = timedelta(seconds=10)
_LATEST: Final = timedelta(hours=1)
#: A request that isn't read yet is an alarm so long before it is due.
NEAR: Final = timedelta(days=1)
# What isn't a service's by its name belongs to this one.
_OF: Final = {"ledger": "consent"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Of one request, whose id it has.

    since: when it was first wanted. next_at: when to read next. asked_at: before the last pass began; took_ms: how long
    that took. found: places where the case was found and shouldn't be; None before it was read. jws: the reader's word.
    waits: the services that something was found in, or that couldn't be read. receipts_sha256: of those that there were
    when it was asked for, since times don't tell: a clock may have been wrong.
    """

    id: str
    case_id: str
    due_at: datetime
    since: datetime
    next_at: datetime
    asked_at: datetime | None = None
    took_ms: int | None = None
    found: int | None = None
    jws: str | None = None
    waits: tuple[str, ...] = ()
    receipts_sha256: str | None = None
    version: int = 1

    def covers(self, receipts_sha256: str) -> bool:
        """Whether nothing was found, in a pass that began after the receipts with this digest had come."""
        return self.found == 0 and self.receipts_sha256 == receipts_sha256

    def is_due(self, now: datetime) -> bool:
        """Whether to read it now. A next time that is further away than it could be was written by a wrong clock."""
        return self.next_at <= now or self.next_at > self.again_at(now) + CLOCKS_DIFFER

    def pause_over(self) -> datetime | None:
        """When the next pass may begin after this one."""
        return None if self.asked_at is None else self.asked_at + _SHARE * timedelta(milliseconds=self.took_ms or 0)

    def again_at(self, now: datetime) -> datetime:
        """When to look for leftovers again: soon at first, and then in proportion to how long they have been there."""
        return now + min(max((now - self.since) / 2, _SOONEST), _LATEST)


def services_of(leftovers: Mapping[str, int]) -> tuple[str, ...]:
    """The services that these places belong to; all of them where one belongs to none. Places: `case.people`,
    `case_vault.keys`, `objects.document`.
    """
    named = set()
    for place in leftovers:
        first, _, rest = place.partition(".")
        owner = rest if first == "objects" else _OF.get(first, first.removesuffix("_vault"))
        named |= {owner} if owner in SERVICES else set(SERVICES)
    return tuple(service for service in SERVICES if service in named)
