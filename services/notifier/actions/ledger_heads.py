"""Sending the ledger's signed head to the mailbox that keeps it: once a day, until it has gone (decision 35)."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, Final

from prometheus_client import Gauge

from services.notifier.context import Context
from services.notifier.letters.ledger_heads import head_email, head_file
from services.notifier.transports import Attachment, NotSent
from shared.db.unit_of_work import Tx
from shared.errors import Invalid
from shared.ledger import Head, LedgerBroken, read_head
from shared.messaging.steps import StepRow
from shared.ops.logs import log
from shared.uk.working_days import london_day

HEAD_STEP: Final = "send_ledger_head"
_SLOWEST: Final = timedelta(minutes=5)
_GIVEN_UP_AFTER: Final = timedelta(days=7)
_ALARM_AFTER: Final = timedelta(days=3)
_NOT_SIGNED: Final = "This isn't a head that a ledger key of the consent service signed."

_UNSENT = Gauge("fmn_ledger_heads_unsent_days", "Days since a signed head of the ledger was last sent to its mailbox")


def request_head(context: Context, *, head: str) -> Head:
    """Have this head sent to the mailbox, unless one of the same London day was. Raises Invalid unless it is signed.

    Another service may send nothing by this but a head: whoever has its token writes no words of their own.
    """
    try:
        signed = read_head(head, context.public_keys)
    except LedgerBroken as error:
        raise Invalid(f"{_NOT_SIGNED} Nothing was sent.", errors={"head": [_NOT_SIGNED]}) from error
    stores, day = context.stores, london_day(signed.at).isoformat()

    def act(tx: Tx) -> None:
        if stores.ledger_heads.rows.find_one({"_id": day}, session=tx.session) is None:
            row = {"_id": day, "head": head, "at": tx.now, "tries": 0, "sent_at": None}
            stores.ledger_heads.insert(row, session=tx.session)
            stores.steps.add(tx, HEAD_STEP, day, None)

    stores.unit_of_work.run(act)
    return signed


def send_head(context: Context, step: StepRow) -> datetime | None:
    """Send it. Returns when to try again, None once it has gone, or after a week.

    It is sent again where it may have gone: twice does no harm, and a day without one could be a head that was lost.
    """
    rows = context.stores.ledger_heads.rows
    row = rows.find_one({"_id": step.key})
    if row is None or row["sent_at"] is not None:
        return None
    if step.now - row["at"] > _GIVEN_UP_AFTER:
        # Newer ones say more, and the alarm has been raised for days.
        log.error("ledger_head.given_up", tries=row["tries"])
        return None
    try:
        _send(context, row, step.now)
    except NotSent as error:
        rows.update_one({"_id": step.key}, {"$inc": {"tries": 1}})
        log.warning("ledger_head.not_sent", attempt=row["tries"] + 1, type=type(error).__name__)
        return step.now + min(_SLOWEST, timedelta(seconds=2.0 ** min(int(row["tries"]), 10)))
    rows.update_one({"_id": step.key}, {"$set": {"sent_at": step.now}})
    return None


def report_unsent(context: Context, now: datetime) -> None:
    """Raise the alarm once three days have gone by without a head that was sent."""
    if context.ledger_head_mail is None:
        return
    days = _since(context.stores.ledger_heads.rows, now) / timedelta(days=1)
    _UNSENT.set(days)
    if days >= _ALARM_AFTER / timedelta(days=1):
        log.error("ledger_head.unsent", days=int(days))


def _since(rows: Any, now: datetime) -> timedelta:
    """How long ago one was sent last; where none was, how long ago the first was asked for."""
    sent = rows.find_one({"sent_at": {"$ne": None}}, sort=[("sent_at", -1)])
    first = rows.find_one({}, sort=[("at", 1)])
    last = sent["sent_at"] if sent is not None else first["at"] if first is not None else now
    return max(timedelta(0), now - last)


def _send(context: Context, row: dict[str, Any], now: datetime) -> None:
    """Raises NotSent."""
    if context.ledger_head_mail is None:
        raise NotSent("FMN_LEDGER_HEAD_MAIL is no longer set.")
    day = date.fromisoformat(row["_id"])
    number = read_head(row["head"], context.public_keys).number
    email = head_email(row["head"], day=day, number=number, office=context.office)
    attached = Attachment(name=head_file(day), media_type="application/jose", content=row["head"].encode() + b"\n")
    context.transports.send_email(
        id=f"ledger-head-{day.isoformat()}", to=context.ledger_head_mail, email=email, attached=attached, now=now
    )
