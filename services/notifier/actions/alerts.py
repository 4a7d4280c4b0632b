"""Alerting the safeguarding lead by email, until it has gone; one that hasn't gone in time raises an alarm (P15)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from prometheus_client import Gauge

from services.notifier.context import Context
from services.notifier.letters.alerts import alert_email
from services.notifier.store import Stores
from services.notifier.transports import NotSent
from shared.db.unit_of_work import Tx
from shared.messaging.steps import StepRow
from shared.ops.logs import log

ALERT_STEP: Final = "send_alert"
_SLOWEST: Final = timedelta(minutes=5)
_SENT_WITHIN: Final = timedelta(minutes=5)

_UNSENT = Gauge("fmn_safeguarding_alerts_unsent", "Alerts for the safeguarding lead that have not gone in time")


def request_alert(stores: Stores, *, id: str) -> None:
    """Have the lead told of the record with this number; once, however often it is asked for."""

    def act(tx: Tx) -> None:
        if stores.alerts.rows.find_one({"_id": id}, session=tx.session) is None:
            stores.alerts.insert({"_id": id, "at": tx.now, "tries": 0, "sent_at": None}, session=tx.session)
            stores.steps.add(tx, ALERT_STEP, id, None)

    stores.unit_of_work.run(act)


def send_alert(context: Context, step: StepRow) -> datetime | None:
    """Send it. Returns when to try again, None once it has gone.

    Unlike letters to families, it is sent again where it may have gone: it names no person, so a second one does no
    harm, and none at all may.
    """
    rows = context.stores.alerts.rows
    row = rows.find_one({"_id": step.key})
    if row is None or row["sent_at"] is not None:
        return None
    if context.safeguarding_email is None:
        log.error("alert.no_address", record_id=step.key)
        return step.now + _SLOWEST
    email = alert_email(step.key, recorded_at=row["at"], office=context.office)
    try:
        context.transports.send_email(id=step.key, to=context.safeguarding_email, email=email, now=step.now)
    except NotSent as error:
        rows.update_one({"_id": step.key}, {"$inc": {"tries": 1}})
        log.error("alert.not_sent", record_id=step.key, attempt=row["tries"] + 1, type=type(error).__name__)
        return step.now + min(_SLOWEST, timedelta(seconds=2.0 ** min(int(row["tries"]), 10)))
    rows.update_one({"_id": step.key}, {"$set": {"sent_at": step.now}})
    return None


def report_unsent(context: Context, now: datetime) -> None:
    """Raise the alarm for alerts that have not gone in time."""
    unsent = {"sent_at": None, "at": {"$lt": now - _SENT_WITHIN}}
    late = context.stores.alerts.rows.count_documents(unsent)
    _UNSENT.set(late)
    if late:
        log.error("alert.unsent", count=late)
