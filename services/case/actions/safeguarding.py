"""Safeguarding: recorded whatever else stands, the lead alerted, reviewed by a second person, forgotten in time (P15).

Nothing here enters a case's gate, asks the consent service or says anything to the bus: whatever is frozen, erased or
away, the record is made; and nothing that goes by the case shows that there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final

from prometheus_client import Gauge

from services.case.actions.cases import IfMatch
from services.case.actions.outward import Asks
from services.case.model.disclosures import SHARED
from services.case.model.safeguarding import ALERT_WITHIN, Concern, held, key_of, let_go, reviewed
from services.case.store import CaseStores
from shared.clock import LONDON
from shared.db.unit_of_work import Tx
from shared.errors import NotFound
from shared.ids import new_id
from shared.messaging.steps import StepRow
from shared.ops.logs import log

ALERT_STEP: Final = "alert_lead"
FORGET_KEY_STEP: Final = "forget_safeguarding_key"
_FORGOTTEN_AT_ONCE: Final = 500
_UNKNOWN: Final = "There is no such record here."

_NOT_ALERTED = Gauge("fmn_safeguarding_not_alerted", "Safeguarding records whose alert has not gone out in time")


def record(stores: CaseStores, *, about: str | None, given: Mapping[str, Any], by: str, now: datetime) -> Concern:
    """Record it at once, with a key of its own, and have the lead alerted. Never refused; `about` is not looked up."""
    id = new_id()
    concern = Concern(
        id=id,
        about=about,
        decision=given.get("decision") or SHARED,
        told_family=bool(given.get("told_family")),
        recorded_at=now,
        recorded_by=by,
        recipient=given.get("recipient"),
        what=str(given["what"]),
        reason=given.get("reason"),
        party=given.get("party"),
        order=given.get("order"),
        issuer=given.get("issuer"),
        scope=given.get("scope"),
    )
    # Before the transaction that seals with it. Should that not commit, a key is left that opens nothing.
    stores.vault.create_key(key_of(id))

    def act(tx: Tx) -> Concern:
        kept = stores.concerns.add(tx, concern)
        stores.steps.add(tx, ALERT_STEP, id, None)
        return kept

    return stores.unit_of_work.run(act)


def alert(stores: CaseStores, calls: Asks, step: StepRow) -> None:
    """Have the notifier tell the lead that there is something to review: its number, and nothing else.

    Raises Unavailable while the notifier is away: the step comes again until it has gone.
    """
    if stores.concerns.is_kept(step.key):
        calls.post("notifier", "/alerts", {"id": step.key})
        stores.unit_of_work.run(lambda tx: stores.concerns.alerted(tx, step.key, step.now))


def watch_alerts(stores: CaseStores, *, now: datetime) -> int:
    """Raise the alarm for what was recorded and has not been handed to the notifier; how many."""
    late = stores.concerns.not_alerted(now - ALERT_WITHIN)
    _NOT_ALERTED.set(late)
    if late:
        log.error("safeguarding.not_alerted", count=late)
    return late


def list_concerns(
    stores: CaseStores, *, state: str | None, about: str | None, after: str | None, limit: int
) -> list[Concern]:
    """Up to `limit` records after that one, oldest first; of one state or about one case where told."""
    asked = {"state": state, "about": about}
    where = {name: value for name, value in asked.items() if value is not None}
    return stores.concerns.page(where, after=after, limit=limit)


def read_concern(stores: CaseStores, *, id: str) -> Concern:
    """Raises NotFound."""
    return _found(stores.concerns.get(id))


def review(
    stores: CaseStores,
    *,
    id: str,
    outcome: str,
    words: str,
    reason: str | None,
    told_family: bool | None,
    by: str,
    now: datetime,
) -> Concern:
    """Record what a second person thinks of it. Raises NotFound, and as the model's `reviewed`."""

    def act(tx: Tx) -> Concern:
        concern = _found(stores.concerns.get(id, tx=tx))
        after = reviewed(concern, outcome=outcome, words=words, reason=reason, told_family=told_family, by=by, now=now)
        return stores.concerns.save(tx, after)

    return stores.unit_of_work.run(act)


def hold(stores: CaseStores, *, id: str, until: date, reason: str, if_match: IfMatch, now: datetime) -> Concern:
    """Keep it at least until that day, whatever its retention says. Raises NotFound, Invalid, Changed."""

    def act(tx: Tx) -> Concern:
        concern = _found(stores.concerns.get(id, tx=tx))
        if_match(str(concern.version))
        return stores.concerns.save(tx, held(concern, until=until, reason=reason, today=_today(now)))

    return stores.unit_of_work.run(act)


def lift_hold(stores: CaseStores, *, id: str, if_match: IfMatch) -> Concern:
    """Let its retention run again. Raises NotFound, Conflict, Changed."""

    def act(tx: Tx) -> Concern:
        concern = _found(stores.concerns.get(id, tx=tx))
        if_match(str(concern.version))
        return stores.concerns.save(tx, let_go(concern))

    return stores.unit_of_work.run(act)


def forget_old(stores: CaseStores, *, retention: timedelta, now: datetime) -> int:
    """Delete what is older than the retention and held by nobody, each with its key; how many."""
    before, today, gone = now - retention, _today(now), 0
    for id in stores.concerns.over(before, today, limit=_FORGOTTEN_AT_ONCE):

        def act(tx: Tx, id: str = id) -> bool:
            # A hold placed since it was looked up keeps it.
            removed = stores.concerns.remove_over(tx, id, before, today)
            if removed:
                stores.steps.add(tx, FORGET_KEY_STEP, id, None)
            return removed

        gone += stores.unit_of_work.run(act)
    return gone


def forget_key(stores: CaseStores, step: StepRow) -> None:
    """Destroy the key of a record that is gone."""
    if not stores.concerns.is_kept(step.key):
        stores.vault.destroy_key(key_of(step.key))


def _found(concern: Concern | None) -> Concern:
    if concern is None:
        raise NotFound(_UNKNOWN)
    return concern


def _today(now: datetime) -> date:
    return now.astimezone(LONDON).date()
