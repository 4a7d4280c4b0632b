"""Safeguarding: recorded in any case, the lead alerted, reviewed by a second person, deleted in time (P15).

Nothing here enters a case's gate, asks the consent service or emits an event. So the record is made even where the
case is frozen or erased, or another service is away; and nothing that goes by the case shows that there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any, Final

from prometheus_client import Gauge

from services.case.actions.cases import IfMatch
from services.case.context import Context
from services.case.model.disclosures import SHARED
from services.case.model.safeguarding import (
    ALERT_WITHIN,
    OPEN,
    Concern,
    hash_of_case,
    key_of,
    reviewed,
    with_hold,
    without_hold,
)
from services.case.store import Stores
from services.case.store.queries import (
    concerns_to_delete,
    delete_concern,
    mark_alerted,
    page_of_concerns_about,
    rehash_concerns_in,
)
from shared.clock import LONDON
from shared.db.keys.rotation import Rehash
from shared.db.unit_of_work import Tx
from shared.errors import NotFound
from shared.ids import new_id
from shared.messaging.steps import StepRow
from shared.ops.logs import log

ALERT_STEP: Final = "alert_lead"
_FORGOTTEN_AT_ONCE: Final = 500
_UNKNOWN: Final = "There is no such record here."

_NOT_ALERTED = Gauge("fmn_safeguarding_not_alerted", "Safeguarding records whose alert has not gone out in time")


def record(stores: Stores, *, about: str | None, given: Mapping[str, Any], by: str, now: datetime) -> Concern:
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

    def act(tx: Tx) -> Concern:
        stores.keys.make(tx, key_of(id))
        found_by = None
        if about is not None:
            found_by = hash_of_case(about, search_key=stores.keys.search_key(tx, key_of(id)))
        kept = stores.concerns.add(replace(concern, about_hash=found_by), tx=tx)
        stores.steps.add(tx, ALERT_STEP, id, None)
        return kept

    return stores.unit_of_work.run(act)


def alert(context: Context, step: StepRow) -> None:
    """Have the notifier email the lead that there is a record to review: its number, and nothing else.

    Raises Unavailable while the notifier is away: the step comes again until it has gone.
    """
    stores = context.stores
    if stores.concerns.exists({"_id": step.key}):
        context.calls.post("notifier", "/alerts", {"id": step.key})
        stores.unit_of_work.run(lambda tx: mark_alerted(stores.concerns, step.key, step.now, tx=tx))


def watch_alerts(context: Context, now: datetime) -> int:
    """Raise the alarm for records that have not been handed to the notifier in time; how many."""
    where = {"state": OPEN, "alerted_at": None, "recorded_at": {"$lt": now - ALERT_WITHIN}}
    late = context.stores.concerns.count(where)
    _NOT_ALERTED.set(late)
    if late:
        log.error("safeguarding.not_alerted", count=late)
    return late


def list_concerns(
    stores: Stores, *, state: str | None, about: str | None, after: str | None, limit: int
) -> list[Concern]:
    """Up to `limit` records after that one, oldest first; of one state or about one case where they are given."""
    where = {} if state is None else {"state": state}
    if about is None:
        return stores.concerns.page(where, after, limit)
    return page_of_concerns_about(stores, about, where, after=after, limit=limit)


def rehash(context: Context) -> Rehash:
    """What makes anew what records are found by, when keys of the tree change."""
    return rehash_concerns_in(context.stores.concerns)


def read_concern(stores: Stores, *, id: str) -> Concern:
    """Raises NotFound."""
    return _found(stores, id)


def review(
    stores: Stores,
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
        concern = _found(stores, id, tx=tx)
        after = reviewed(concern, outcome=outcome, words=words, reason=reason, told_family=told_family, by=by, now=now)
        return stores.concerns.save(after, tx=tx)

    return stores.unit_of_work.run(act)


def hold(stores: Stores, *, id: str, until: date, reason: str, if_match: IfMatch, now: datetime) -> Concern:
    """Keep it at least until that day, past its retention if need be. Raises NotFound, Invalid, Changed."""

    def act(tx: Tx) -> Concern:
        concern = _found(stores, id, tx=tx)
        if_match(str(concern.version))
        return stores.concerns.save(with_hold(concern, until=until, reason=reason, today=_today(now)), tx=tx)

    return stores.unit_of_work.run(act)


def lift_hold(stores: Stores, *, id: str, if_match: IfMatch) -> Concern:
    """Let its retention run again. Raises NotFound, Conflict, Changed."""

    def act(tx: Tx) -> Concern:
        concern = _found(stores, id, tx=tx)
        if_match(str(concern.version))
        return stores.concerns.save(without_hold(concern), tx=tx)

    return stores.unit_of_work.run(act)


def forget_old(context: Context, now: datetime) -> int:
    """Delete what is older than the retention and has no hold, each with its key; how many."""
    stores, before, today = context.stores, now - context.safeguarding_retention, _today(now)
    deleted = 0
    for id in concerns_to_delete(stores.concerns, before, today, limit=_FORGOTTEN_AT_ONCE):

        def act(tx: Tx, id: str = id) -> bool:
            # A hold placed since it was looked up keeps it.
            removed = delete_concern(stores.concerns, id, before, today, tx=tx)
            if removed:
                stores.keys.doom(tx, key_of(id))
            return removed

        deleted += stores.unit_of_work.run(act)
    return deleted


def _found(stores: Stores, id: str, *, tx: Tx | None = None) -> Concern:
    concern = stores.concerns.get(id, tx=tx)
    if concern is None:
        raise NotFound(_UNKNOWN)
    return concern


def _today(now: datetime) -> date:
    return now.astimezone(LONDON).date()
