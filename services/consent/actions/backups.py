"""Which archives of a backup there are. `forgetmenot backup` writes the rows; the service only reads them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from prometheus_client import Gauge

from services.consent.context import Context
from services.consent.store import Stores
from shared.clock import utc_now
from shared.ops.logs import log

# An hourly run may be late by as much.
_LATE: Final = timedelta(hours=1)
_OVERDUE = Gauge("fmn_backup_overdue", "Archives of a backup that should be gone and aren't")


def backups_gone_by(context: Context) -> datetime | None:
    """When the last backup is gone that opens a case whose keys are destroyed by now; None where none does.

    Asked when its certificate is signed.
    """
    now = utc_now()
    return keys_gone_by(context.stores, destroyed_at=now, now=now)


def keys_gone_by(stores: Stores, *, destroyed_at: datetime, now: datetime) -> datetime | None:
    """When the last archive of keys is gone that was made before the family's keys were destroyed.

    Until then the operator's private key opens it, and it opens what an older data archive has of the family. None
    where there is no such archive: nothing opens any backup. One that should be gone and isn't goes when two newer ones
    are made, which takes as long again.
    """
    made_before = {"kind": "keys", "gone_at": None, "began_at": {"$lte": destroyed_at}}
    return max((_end(row, now) for row in stores.archives.rows.find(made_before)), default=None)


def report_overdue(context: Context, now: datetime) -> None:
    """Raise the alarm for archives that are kept for longer than a certificate says: the hourly runs have stopped."""
    count = context.stores.archives.rows.count_documents({"gone_at": None, "until": {"$lt": now - _LATE}})
    _OVERDUE.set(count)
    if count:
        log.error("backup.overdue", count=count)


def _end(row: Mapping[str, Any], now: datetime) -> datetime:
    until: datetime = row["until"]
    return until if until > now else now + (until - row["began_at"])
