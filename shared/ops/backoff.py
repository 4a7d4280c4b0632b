"""How long to wait before trying again, so that many who wait don't all come at once."""

from __future__ import annotations

import random
from datetime import timedelta

_DOUBLINGS = 20


def full_jitter(attempts: int, slowest: timedelta) -> timedelta:
    """From a second up to 2^attempts seconds, anywhere in between, and never over `slowest`."""
    most = min(slowest.total_seconds(), 2.0 ** min(attempts, _DOUBLINGS))
    return timedelta(seconds=max(1.0, random.uniform(0.0, most)))  # noqa: S311 - spreads load, guards nothing
