"""Steps: what must be done outside a transaction, recorded inside it, and done until it is done.

A step runs at least once after its transaction commits, in one process at a time, and again whenever it was asked for
again; so what it does is idempotent. A step whose process died is run by another within seconds. Leases are told and
judged by the database's clock: by a process's own, one that was put right would give a step to two at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import count

from prometheus_client import Counter
from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import PyMongoError

from shared.clock import CLOCKS_DIFFER, LONG_AGO, utc_now
from shared.db import Register
from shared.db.unit_of_work import Row, Tx
from shared.errors import Temporary, Unavailable
from shared.fields import Count, Id, Name, Optional, Subject, Time
from shared.ids import new_id
from shared.messaging.nudges import Nudges
from shared.ops.backoff import full_jitter
from shared.ops.logs import log, where

LEASE = timedelta(seconds=5)
_LEASE_ENDS = {"$add": ["$$NOW", round(LEASE.total_seconds() * 1000)]}
# A lease that has run out, or is too long because the database's own clock was ahead.
_LAPSED = {
    "$or": [
        {"$lte": ["$lease_until", "$$NOW"]},
        {"$gt": ["$lease_until", {"$add": ["$$NOW", round(CLOCKS_DIFFER.total_seconds() * 1000)]}]},
    ]
}
_HEARTBEAT_SECONDS = 1.5
# A clock that was put right is looked for at every so manieth heartbeat.
_BEATS_TO_A_LOOK = 10
# A nudge announces a step that another process added. This is how long the step waits if the nudge is lost.
_POLL = timedelta(seconds=2)
# A step that is due and was just claimed by another process isn't looked for again at once.
_SOON_SECONDS = 0.25
_LOOKED_AT = 50
_SLOWEST = timedelta(minutes=5)
_SLOWEST_AT_FIRST = timedelta(seconds=3)
_OFTEN = 30
_AT_ONCE = 4

_FAILURES = Counter("fmn_step_failures", "Steps that failed and will be tried again", ["service", "kind"])


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """One step to run. attempts: how often it was started since it last succeeded, this time included."""

    kind: str
    key: str
    case_id: str | None
    due: datetime
    attempts: int
    now: datetime


Run = Callable[[StepRow], datetime | None]


class Steps:
    """One service's steps. The api process only adds; the worker also starts the runner.

    kinds: what runs each kind; it returns None when done, or when it wants to be run again.
    """

    def __init__(self, register: Register, kinds: Mapping[str, Run] | None = None, *, at_once: int = _AT_ONCE) -> None:
        self._service = register.unit_of_work.service
        self._kinds: dict[str, Run] = dict(kinds or {})
        self._rows = register.keep(
            "steps",
            clear={
                "kind": Name(),
                "key": Subject(),
                "case_id": Optional(Id()),
                "due": Time(),
                "attempts": Count(),
                "wanted": Count(),
                "lease": Optional(Id()),
                "lease_until": Time(),
            },
            retention=None,
            why="what must still be done after a transaction; deleted once it is",
            indexes=(("due",), ("lease",), ("attempts", "due")),
        ).rows
        self._nudges = Nudges(register, "nudges")
        self._at_once = at_once
        self._free = threading.Semaphore(at_once)
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self._held: set[str] = set()
        self._guard = threading.Lock()
        self._threads: list[threading.Thread] = []

    def serve(self, kinds: Mapping[str, Run]) -> None:
        """Take on more kinds; before `start`."""
        if again := sorted(set(kinds) & set(self._kinds)):
            raise ValueError(f"these steps are served twice: {', '.join(again)}")
        self._kinds |= kinds

    def add(self, tx: Tx, kind: str, key: str, case_id: str | None, due: datetime | None = None) -> None:
        """Record a step, if the transaction commits. One that exists is brought forward, also while it runs:
        the step then runs again, for any result of the present run. due: at once by default, also under a wrong
        clock; of two, the earlier.
        """
        if not (Name().accepts(kind) and Subject().accepts(key)):
            raise ValueError(f"a {kind} step's key must be an id or a word of ours")
        start = {"kind": kind, "key": key, "case_id": case_id, "attempts": 0, "lease": None, "lease_until": LONG_AGO}
        change = {"$inc": {"wanted": 1}, "$min": {"due": due or LONG_AGO}, "$setOnInsert": start}
        tx.write(self._rows, UpdateOne({"_id": f"{kind}:{key}"}, change, upsert=True))
        tx.after_commit.append(self._tell)

    def wake(self) -> None:
        """Look for due steps now rather than at the next poll."""
        self._wanted.set()

    def _tell(self) -> None:
        """A step was added: this process runs it, or where it runs none or has its hands full, another."""
        self.wake()
        with self._guard:
            is_mine = bool(self._threads) and len(self._held) < self._at_once
        if not is_mine:
            self._nudges.give()

    def start(self) -> None:
        for target in (self._dispatch, self._keep_leases, partial(self._nudges.follow, self.wake, self._stopping)):
            thread = threading.Thread(target=target, name="steps", daemon=True)
            thread.start()
            self._threads.append(thread)

    def request_stop(self) -> None:
        """Start no more."""
        self._stopping.set()
        self.wake()

    def join(self, timeout: float) -> None:
        """Wait for the running steps, at most these seconds; another process takes up what isn't done then."""
        deadline = time.monotonic() + timeout
        for _ in range(self._at_once):
            if not self._free.acquire(timeout=max(0.0, deadline - time.monotonic())):
                break

    def _dispatch(self) -> None:
        woken = True
        while not self._stopping.is_set():
            self._free.acquire()
            row: Row | None = None
            pause = _SOON_SECONDS
            try:
                # An idle look only reads: a write, even one that finds nothing, waits for the journal.
                if not self._stopping.is_set() and (woken or (pause := self._until_next(utc_now())) <= 0):
                    row, pause = self._claim(utc_now()), 0.0
                    if row is None:
                        pause = max(_SOON_SECONDS, self._until_next(utc_now()))
            except PyMongoError as error:
                log.warning("steps.not_claimed", **where(error))
                self._stopping.wait(1.0)
            if row is not None:
                threading.Thread(target=self._run_one, args=(row,), name="step", daemon=True).start()
                woken = True
                continue
            self._free.release()
            woken = self._wanted.wait(pause)
            self._wanted.clear()

    def _until_next(self, now: datetime) -> float:
        """Seconds until a step is due or a lease runs out, and never long: 0 or less where one can be claimed."""
        soon = {"kind": {"$in": list(self._kinds)}, "due": {"$lte": now + _POLL}}
        rows = list(self._rows.find(soon, {"due": 1, "lease_until": 1}, sort=[("due", 1)], limit=_LOOKED_AT))
        # The database says whether a lease has lapsed: by its own clock, or because that was ahead at the time.
        is_leased = any(row["due"] <= now < row["lease_until"] for row in rows)
        if is_leased and self._rows.find_one(self._claimable(now), {"_id": 1}) is not None:
            return 0.0
        times: list[datetime] = [max(row["due"], row["lease_until"]) for row in rows]
        return (min([now + _POLL, *times]) - now).total_seconds()

    def _claimable(self, now: datetime) -> Row:
        return {"kind": {"$in": list(self._kinds)}, "due": {"$lte": now}, "$expr": _LAPSED}

    def _claim(self, now: datetime) -> Row | None:
        lease = new_id()
        with self._guard:
            # Held from before it is written, so that the heartbeat can't miss it.
            self._held.add(lease)
        row: Row | None = None
        try:
            row = self._rows.find_one_and_update(
                self._claimable(now),
                [{"$set": {"lease": lease, "lease_until": _LEASE_ENDS, "attempts": {"$add": ["$attempts", 1]}}}],
                sort=[("due", 1)],
                return_document=ReturnDocument.AFTER,
            )
        finally:
            if row is None:
                self._let_go(lease)
        return row

    def _run_one(self, row: Row) -> None:
        try:
            again = self._outcome(row)
            self._settle(row, again)
        except PyMongoError as error:
            # Its lease runs out, and it is run again.
            log.warning("steps.not_settled", kind=row["kind"], **where(error))
        finally:
            self._let_go(row["lease"])
            self._free.release()
            self.wake()

    def _outcome(self, row: Row) -> tuple[datetime | None, int]:
        """When to run it again (None: done), and its attempts from there on."""
        attempts = int(row["attempts"])
        step = StepRow(
            kind=row["kind"],
            key=row["key"],
            case_id=row["case_id"],
            due=row["due"],
            attempts=attempts,
            now=utc_now(),
        )
        try:
            return self._kinds[step.kind](step), 0
        except (Temporary, Unavailable) as error:
            log.warning("step.postponed", kind=step.kind, attempt=attempts, **where(error))
        except Exception as error:  # noqa: BLE001 - recorded, and tried again: a step is never dropped
            log.error("step.failed", kind=step.kind, attempt=attempts, **where(error))
        _FAILURES.labels(self._service, step.kind).inc()
        # A server that is away comes back within seconds, and then what waited for it goes on at once.
        slowest = _SLOWEST_AT_FIRST if attempts <= _OFTEN else _SLOWEST
        return utc_now() + full_jitter(attempts, slowest), attempts

    def _settle(self, row: Row, outcome: tuple[datetime | None, int]) -> None:
        again, attempts = outcome
        mine = {"_id": row["_id"], "lease": row["lease"]}
        released = {"lease": None, "lease_until": LONG_AGO, "attempts": attempts}
        # Only if it wasn't asked for again while it ran.
        unasked = {**mine, "wanted": row["wanted"]}
        if again is None:
            settled = self._rows.delete_one(unasked).deleted_count
        else:
            settled = self._rows.update_one(unasked, {"$set": {**released, "due": again}}).matched_count
        if not settled:
            self._rows.update_one(mine, {"$set": released})

    def _let_go(self, lease: str) -> None:
        with self._guard:
            self._held.discard(lease)

    def _keep_leases(self) -> None:
        """Renew what is running here, until the process ends or has finished what was in hand."""
        for beat in count():
            time.sleep(_HEARTBEAT_SECONDS)
            with self._guard:
                held = list(self._held)
            if self._stopping.is_set() and not held:
                return
            try:
                if held:
                    self._rows.update_many({"lease": {"$in": held}}, [{"$set": {"lease_until": _LEASE_ENDS}}])
                if beat % _BEATS_TO_A_LOOK == 0:
                    self._bring_forward(utc_now())
            except PyMongoError as error:
                log.warning("steps.lease_not_renewed", **where(error))

    def _bring_forward(self, now: datetime) -> None:
        """A step that failed is tried again within minutes: one that waits for longer was put off by a clock that has
        since been put right.
        """
        wrong = {"attempts": {"$gt": 0}, "due": {"$gt": now + _SLOWEST + CLOCKS_DIFFER}}
        self._rows.update_many(wrong, {"$set": {"due": now}})
