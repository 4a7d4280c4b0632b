"""Alerting the safeguarding lead: by email, until it has gone; one that hasn't raises the alarm (P15)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from prometheus_client import Gauge

from services.notifier.actions.external import Outside
from services.notifier.letters.alerts import alert_email
from services.notifier.outways import NotSent
from shared.db.unit_of_work import Tx
from shared.messaging.steps import StepRow
from shared.ops.logs import log

if TYPE_CHECKING:
    from services.notifier.store import Stores

ALERT_STEP: Final = "send_alert"
_SLOWEST: Final = timedelta(minutes=5)
_SENT_WITHIN: Final = timedelta(minutes=5)

_UNSENT = Gauge("fmn_safeguarding_alerts_unsent", "Alerts for the safeguarding lead that have not gone in time")


def take(stores: Stores, *, id: str) -> None:
    """Have the lead told of the record with this number; once, however often it is asked for."""

    def act(tx: Tx) -> None:
        if stores.alerts.add(tx, id):
            stores.steps.add(tx, ALERT_STEP, id, None)

    stores.unit_of_work.run(act)


def send(stores: Stores, outside: Outside, to: str | None, step: StepRow) -> datetime | None:
    """Send it. Returns when to try again, None once it has gone.

    Unlike what families are sent, it goes again where nobody knows whether it went: it names nobody, so a second one
    harms nobody, and none at all may.
    """
    row = stores.alerts.get(step.key)
    if row is None or row["sent_at"] is not None:
        return None
    if to is None:
        log.error("alert.no_address", record_id=step.key)
        return step.now + _SLOWEST
    email = alert_email(step.key, recorded_at=row["at"], office=outside.hand_over.office)
    try:
        outside.hand_over.email(id=step.key, to=to, email=email, now=step.now)
    except NotSent as error:
        stores.alerts.tried(step.key)
        log.error("alert.not_sent", record_id=step.key, attempt=row["tries"] + 1, type=type(error).__name__)
        return step.now + min(_SLOWEST, timedelta(seconds=2.0 ** min(int(row["tries"]), 10)))
    stores.alerts.sent(step.key, step.now)
    return None


def watch(stores: Stores, *, now: datetime) -> int:
    """Raise the alarm for alerts that have not gone in time; how many."""
    late = stores.alerts.unsent(now - _SENT_WITHIN)
    _UNSENT.set(late)
    if late:
        log.error("alert.unsent", count=late)
    return late
