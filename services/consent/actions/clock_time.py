"""What time it is by the daily clock: its own, or a later one where time travel has taken it ahead."""

from __future__ import annotations

from datetime import datetime

from services.consent.model.clock import LAST_RUN
from services.consent.store import Stores
from shared.db.unit_of_work import Tx


def last_run(stores: Stores, *, tx: Tx | None = None) -> datetime | None:
    """The time that the last run was about; None before the first."""
    run = stores.clock_runs.get(LAST_RUN, tx=tx)
    return None if run is None else run.at


def clock_time(stores: Stores, now: datetime, tx: Tx | None = None) -> datetime:
    """The time that reviews go by at `now`."""
    return max(now, last_run(stores, tx=tx) or now)


def clock_time_then(stores: Stores, moment: datetime) -> datetime:
    """The time that reviews went by at that moment."""
    runs = stores.clock_runs.find({"ran_at": {"$lte": moment}}, limit=1, sort=(("ran_at", -1),))
    return max([moment, *(run.at for run in runs)])
