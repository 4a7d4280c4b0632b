"""The independent reader is asked, for all erasures at once that have every receipt, before any is completed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from prometheus_client import Counter, Gauge

from services.consent.context import Context
from services.consent.model.readings import NEAR, Reading, services_of
from services.consent.model.requests import Receipt, Request, latest
from services.consent.store import Stores
from shared.clock import utc_now
from shared.db.unit_of_work import Tx
from shared.erasure.readings import MOST_AT_ONCE, READER, BadReading, claims_of, digest_of
from shared.errors import Changed, Temporary, Unavailable
from shared.events import SERVICES
from shared.ids import new_id
from shared.messaging.steps import StepRow
from shared.ops.logs import Pattern, log
from shared.security.signing import PublicKeys

READ_STEP: Final = "read"
COMPLETE_STEP: Final = "complete"
# One step for all requests: what comes while it runs shares the next pass.
_ALL: Final = "all"
# A pass reads everything there is. Each erasure can wait for one: it has two working days.
_LONGEST_PASS_SECONDS: Final = 900

_IN_ONE_TRANSACTION: Final = 100
_WAITING: Final[Mapping[str, Any]] = {"found": {"$ne": 0}}
# The time of the next pass may have been written by a clock that was ahead.
_LOOK: Final = timedelta(minutes=1)

_LEFTOVERS = Gauge("fmn_erasures_with_leftovers", "Erasures whose case was found where nothing should be left")
_NOT_READ = Gauge("fmn_erasures_not_read", "Erasures due within a day that the independent reader hasn't read")
_READ = Counter("fmn_erasures_read", "Readings of the independent reader that were taken")


def ask(stores: Stores, tx: Tx, request: Request, receipts: Sequence[Receipt]) -> None:
    """Complete the request if it was read since the last receipt came; otherwise have it read."""
    known, digest = stores.readings.get(request.id, tx=tx), digest_that_counts(request, receipts)
    if known is not None and known.covers(digest):
        stores.steps.add(tx, COMPLETE_STEP, request.id, request.case_id)
        return
    if known is None:
        first = Reading(
            id=request.id,
            case_id=request.case_id,
            due_at=request.due_at,
            since=tx.now,
            next_at=tx.now,
            receipts_sha256=digest,
        )
        stores.readings.add(first, tx=tx)
    elif known.receipts_sha256 != digest:
        # A pass that is under way began too early: what it finds isn't kept.
        stores.readings.save(replace(known, receipts_sha256=digest, found=None, jws=None, next_at=tx.now), tx=tx)
    stores.steps.add(tx, READ_STEP, _ALL, None)


def digest_that_counts(request: Request, receipts: Sequence[Receipt]) -> str:
    """The digest of those receipts that the certificate would have."""
    return digest_of(receipt.jws for receipt in latest(request, receipts).values())


def read_step(context: Context, step: StepRow) -> datetime | None:
    """Have all that wait read in one pass, and complete those of which nothing was found. When to go on with others.

    Raises Unavailable while the reader is away, Temporary when what it says can't be trusted.
    """
    stores, now = context.stores, step.now
    if (ready := _pause_over(stores, now)) is not None:
        return ready
    waiting = [one for one in stores.readings.find(_WAITING, sort=(("next_at", 1), ("_id", 1))) if one.is_due(now)]
    waiting = waiting[:MOST_AT_ONCE]
    if waiting:
        try:
            said, asked_at, took_ms = _pass(context, waiting)
        except (Unavailable, Temporary):
            _could_not(stores, waiting, now)
            raise
        for first in range(0, len(waiting), _IN_ONE_TRANSACTION):
            some = slice(first, first + _IN_ONE_TRANSACTION)
            _settle(stores, waiting[some], said[some], asked_at, took_ms)
        _raise_alarms(stores, said)
    return _next(stores, now)


def _pass(context: Context, waiting: Sequence[Reading]) -> tuple[list[tuple[str, dict[str, Any]]], datetime, int]:
    """Each reading with its claims, checked; when it was asked for; and how many milliseconds it took."""
    reading, asked_at, started = new_id(), utc_now(), time.monotonic()
    body = {"reading": reading, "of": [_claims(one) for one in waiting]}
    answer = context.calls.post(READER, "/readings", body, timeout_seconds=_LONGEST_PASS_SECONDS)
    took_ms = round(1000 * (time.monotonic() - started))
    said = answer.get("readings")
    if not isinstance(said, list) or len(said) != len(waiting):
        log.error("reading.refused", reason="shape")
        raise Temporary("reading-shape")
    checked = [
        _checked(context.public_keys, str(jws), {"reading": reading, **_claims(one)})
        for one, jws in zip(waiting, said, strict=True)
    ]
    return checked, asked_at, took_ms


def _claims(one: Reading) -> dict[str, Any]:
    return {"request": one.id, "case": one.case_id, "receipts_sha256": one.receipts_sha256}


def _checked(keys: PublicKeys, jws: str, expected: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    try:
        return jws, claims_of(jws, keys, at=utc_now(), expected=expected)
    except BadReading as error:
        # Only the reader's own key signs one, and only for the call that it answers.
        log.error("reading.refused", reason=error.reason)
        raise Temporary(f"reading-{error.reason}") from error


def _settle(
    stores: Stores,
    waiting: Sequence[Reading],
    said: Sequence[tuple[str, dict[str, Any]]],
    asked_at: datetime,
    took_ms: int,
) -> None:
    def act(tx: Tx) -> None:
        for one, (jws, claims) in zip(waiting, said, strict=True):
            found = int(claims["found"])
            read = replace(
                one,
                asked_at=asked_at,
                took_ms=took_ms,
                found=found,
                jws=jws,
                waits=services_of(claims["leftovers"]) if found else (),
                since=min(one.since, tx.now),
                next_at=one.again_at(tx.now) if found else one.next_at,
            )
            with suppress(Changed):
                # Unless another receipt came meanwhile: then it is read again.
                stores.readings.save(read, tx=tx)
                if not found:
                    stores.steps.add(tx, COMPLETE_STEP, one.id, one.case_id)

    stores.unit_of_work.run(act)


def _raise_alarms(stores: Stores, said: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """One for each place that a case was found in."""
    _READ.inc(len(said))
    for _, claims in said:
        for place, count in claims["leftovers"].items():
            about = {"request": claims["request"], "case_id": claims["case"]}
            # A name that someone else chose may be more than a name of ours can be.
            store = place if Pattern().accepts(place) else "<another-name>"
            log.error("erasure.leftover", store=store, count=count, **about)
    _LEFTOVERS.set(stores.readings.count({"found": {"$gt": 0}}))
    _NOT_READ.set(0)


def _could_not(stores: Stores, waiting: Sequence[Reading], now: datetime) -> None:
    """Say what the requests wait for, and raise the alarm for those that are due soon."""

    def act(tx: Tx) -> None:
        for one in waiting:
            if not one.waits:
                stores.readings.save(replace(one, waits=SERVICES), tx=tx)

    stores.unit_of_work.run(act)
    near = [one.due_at for one in waiting if one.due_at - now < NEAR]
    _NOT_READ.set(len(near))
    if near:
        log.error("erasure.not_read", count=len(near), due=min(near))


def _pause_over(stores: Stores, now: datetime) -> datetime | None:
    """When a pass may begin, where that isn't yet."""
    last = stores.readings.find({"asked_at": {"$lte": now}}, sort=(("asked_at", -1),), limit=1)
    ready = last[0].pause_over() if last else None
    return ready if ready is not None and ready > now else None


def _next(stores: Stores, now: datetime) -> datetime | None:
    """When to look at those that wait again; None when none waits."""
    waiting = stores.readings.find(_WAITING, sort=(("next_at", 1),), limit=1)
    return min(waiting[0].next_at, now + _LOOK) if waiting else None
