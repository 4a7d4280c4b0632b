"""What is entered in the ledger: a step for each entry, so that it waits, and happens once, whatever dies."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from services.consent.context import Context
from services.consent.model.consents import Ending
from services.consent.store import Stores
from shared.db.unit_of_work import Tx
from shared.errors import Problem, Temporary
from shared.ledger import WITHDRAWAL
from shared.messaging.steps import StepRow
from shared.ops.logs import log, where

LEDGER_STEP: Final = "ledger"


def enter(stores: Stores, tx: Tx, kind: str, about: str, case_id: str) -> None:
    """Have it entered, once, if the transaction commits. about: an id; another entry of the kind has another."""
    stores.steps.add(tx, LEDGER_STEP, f"{kind}:{about}", case_id)


def ledger_step(context: Context, step: StepRow) -> None:
    """Enter what `enter` asked for. Raises Temporary while the ledger refuses."""
    kind, _, about = step.key.partition(":")
    case_id, at = str(step.case_id), step.now
    withdrawn: dict[str, Any] | None = None
    if kind == WITHDRAWAL:
        # It is gone where the case was erased meanwhile, and then the ledger has that.
        ending = context.stores.endings.get(about, case_id=case_id)
        if ending is not None:
            at, withdrawn = ending.recorded_at, _withdrawn(ending)
    context.ledger.append(kind=kind, about=about, case_id=case_id, at=at, now=step.now, withdrawn=withdrawn)


def look_after(context: Context, now: datetime) -> None:
    """Compare ledger and copy, and publish the head; alarms while they don't agree."""
    context.ledger.look_after(now)


def mail_head(context: Context, now: datetime) -> None:
    """Have the notifier mail the signed head, where the office has a mailbox for it.

    It is asked each time, and sends one a day: so it doesn't matter how many workers ask, and which of them died.
    """
    if not context.mails_head:
        return
    try:
        context.calls.post("notifier", "/ledger-heads", {"head": context.ledger.signed_head(now)})
    except Temporary:
        # The alarm for what is wrong with the ledger is given, and repeated, by `look_after`.
        return
    except Problem as error:
        # Away, or of an older version: asked again in ten minutes. The notifier alarms once none has gone for days.
        log.warning("ledger.head_not_taken", **where(error))


def _withdrawn(ending: Ending) -> dict[str, Any]:
    """What a restore must withdraw again: the consent, and what of it (None: all)."""
    grants = ending.grants
    return {
        "consent": ending.consent_id,
        "grants": None
        if grants is None
        else [{"purpose": g.purpose, "party": g.party, "document_kind": g.document_kind} for g in grants],
    }
