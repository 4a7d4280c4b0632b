"""Steps: what must be done outside a transaction, recorded inside it, and done until it is done.

A step runs at least once after its transaction commits, in one process at a time, and again whenever it was asked for
again; so what it does is idempotent. A step whose process died is run by another within seconds. Leases are told and
judged by the database's clock: by a process's own, one that was put right would give a step to two at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from prometheus_client import Counter
from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import PyMongoError

from shared.clock import CLOCKS_DIFFER, LONG_AGO, utc_now
from shared.db import Register
from shared.db.unit_of_work import Row, Tx
from shared.errors import Temporary, Unavailable
from shared.fields import Count, Id, Name, Optional, Subject, Time
from shared.ids import new_id
from shared.ops.backoff import full_jitter
from shared.ops.logs import log, where

LEASE = timedelta(seconds=5)
_LEASE_ENDS = {"$add": ["$$NOW", round(LEASE.total_seconds() * 1000)]}
# A lease that has run out, or was given when the database's own clock was ahead: nobody holds one for so long.
_LAPSED = {
    "$or": [
        {"$lte": ["$lease_until", "$$NOW"]},
        {"$gt": ["$lease_until", {"$add": ["$$NOW", round(CLOCKS_DIFFER.total_seconds() * 1000)]}]},
    ]
}
_HEARTBEAT_SECONDS = 1.5
_POLL_SECONDS = 0.25
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
        whatever that run returns, the step is run again. due: at once by default, whatever becomes of the clock; of
        two, the earlier.
        """
        if not (Name().accepts(kind) and Subject().accepts(key)):
            raise ValueError(f"a {kind} step's key must be an id or a word of ours")
        start = {"kind": kind, "key": key, "case_id": case_id, "attempts": 0, "lease": None, "lease_until": LONG_AGO}
        change = {"$inc": {"wanted": 1}, "$min": {"due": due or LONG_AGO}, "$setOnInsert": start}
        tx.write(self._rows, UpdateOne({"_id": f"{kind}:{key}"}, change, upsert=True))
        if due is None:
            tx.after_commit.append(self.wake)

    def wake(self) -> None:
        """Look for due steps now rather than at the next poll."""
        self._wanted.set()

    def start(self) -> None:
        for target in (self._dispatch, self._keep_leases):
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
        while not self._stopping.is_set():
            self._free.acquire()
            row: Row | None = None
            try:
                row = self._claim(utc_now()) if not self._stopping.is_set() else None
            except PyMongoError as error:
                log.warning("steps.not_claimed", **where(error))
                self._stopping.wait(1.0)
            if row is not None:
                threading.Thread(target=self._run_one, args=(row,), name="step", daemon=True).start()
                continue
            self._free.release()
            self._wanted.wait(_POLL_SECONDS)
            self._wanted.clear()

    def _claim(self, now: datetime) -> Row | None:
        lease = new_id()
        with self._guard:
            # Held from before it is written, so that the heartbeat can't miss it.
            self._held.add(lease)
        row: Row | None = None
        try:
            row = self._rows.find_one_and_update(
                {"kind": {"$in": list(self._kinds)}, "due": {"$lte": now}, "$expr": _LAPSED},
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
        # Only if nobody asked for it again while it ran.
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
        while True:
            time.sleep(_HEARTBEAT_SECONDS)
            with self._guard:
                held = list(self._held)
            if self._stopping.is_set() and not held:
                return
            try:
                if held:
                    self._rows.update_many({"lease": {"$in": held}}, [{"$set": {"lease_until": _LEASE_ENDS}}])
                self._bring_forward(utc_now())
            except PyMongoError as error:
                log.warning("steps.lease_not_renewed", **where(error))

    def _bring_forward(self, now: datetime) -> None:
        """A step that failed is tried again within minutes: one that waits for longer was put off by a clock that has
        since been put right.
        """
        wrong = {"attempts": {"$gt": 0}, "due": {"$gt": now + _SLOWEST + CLOCKS_DIFFER}}
        self._rows.update_many(wrong, {"$set": {"due": now}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """Something done periodically in the worker: `run(now)` each so many seconds, the first time at once."""

    seconds: float
    run: Callable[[datetime], object]
    name: str


class Periodic:
    """Runs each `Every` on a thread of its own; one that fails is logged and comes again at its next time."""

    def __init__(self, jobs: Sequence[Every]) -> None:
        self._jobs = jobs
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for job in self._jobs:
            thread = threading.Thread(target=self._repeat, args=(job,), name=job.name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def request_stop(self) -> None:
        self._stopping.set()

    def join(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _repeat(self, job: Every) -> None:
        while not self._stopping.is_set():
            try:
                job.run(utc_now())
            except Exception as error:  # noqa: BLE001 - the next time must come
                log.error("periodic.failed", kind=job.name, **where(error))
            self._stopping.wait(job.seconds)
