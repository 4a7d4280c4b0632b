"""The outbox: what a transaction decided to say, kept until the broker has confirmed it.

The collection is the truth. The process that committed publishes its rows at once; the worker sweeps rows
older than a second. Two at once only make repeats, which every inbox makes harmless.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from prometheus_client import Counter, Gauge
from pymongo import DeleteMany, UpdateMany, UpdateOne
from pymongo.errors import PyMongoError

from shared.clock import CLOCKS_DIFFER, LONG_AGO, utc_now
from shared.db import Register
from shared.db.unit_of_work import Row
from shared.fields import Count, Flag, Id, Name, Optional, Sealed, Time
from shared.ids import new_id
from shared.messaging.bus import Outcome, Publisher, Sent
from shared.ops.backoff import full_jitter
from shared.ops.logs import log, where

_FRESH = timedelta(seconds=1)
_LEASE = timedelta(seconds=10)
_PUBLISH_SECONDS = 5.0
_BATCH = 200
_HANDED_OVER_AT_MOST = 1_000
# Far under the age at which the sweep takes a row.
_GATHER_SECONDS = 0.03
_SLOWEST = timedelta(minutes=5)
# Longer than a broker's restart: the other services don't hear what this service decides.
_ALARM_SECONDS = 60.0
_ALARM_AGAIN = timedelta(minutes=5)
# About five minutes of refusals: no longer the broker's passing trouble.
_FAILING_AFTER = 8

_OLDEST = Gauge("fmn_outbox_oldest_seconds", "Age of the oldest event not yet confirmed", ["service"])
_FAILING = Gauge("fmn_outbox_failing", "Events that the broker keeps refusing", ["service"])
_PUBLISHED = Counter("fmn_outbox_published", "What became of events handed to the broker", ["service", "outcome"])

_UnderWay = tuple[Sequence[Row], Sent]


class Outbox:
    """One service's outbox, in one process. It takes over `UnitOfWork.hand_over`; threads start with the first row."""

    def __init__(self, register: Register, publisher: Publisher) -> None:
        self._unit_of_work = register.unit_of_work
        self._publisher = publisher
        self._rows = register.keep(
            "outbox",
            clear={
                "case_id": Id(),
                "key": Name(),
                "body": Sealed(),
                "at": Time(),
                "due": Time(),
                "attempts": Count(),
                "failing": Optional(Flag()),
                "claim": Optional(Id()),
            },
            retention=None,
            why="an event waits here until the broker has confirmed it; an event has no person in it",
            indexes=(("due",),),
        ).rows
        self._handed: queue.Queue[tuple[Sequence[Row], Sent | None]] = queue.Queue(_HANDED_OVER_AT_MOST)
        self._starting = threading.Lock()
        self._pid: int | None = None
        self._alarmed = LONG_AGO
        self._stopping = threading.Event()
        register.unit_of_work.hand_over = self.hand_over

    def hand_over(self, rows: Sequence[Row]) -> None:
        """Publish rows that were just committed; the broker's word is waited for on another thread.

        What doesn't fit is left for the sweep.
        """
        if self._stopping.is_set():
            return
        self._start()
        # Straight to the publisher's thread: each thread in between is one more that has to get its turn. While the
        # broker is away they wait in our queue, which is bounded.
        sent = self._publisher.begin(rows) if self._publisher.sends_at_once else None
        try:
            self._handed.put_nowait((rows, sent))
        except queue.Full:
            if sent is not None:
                sent.given_up = True
            log.warning("outbox.hand_over_full", count=len(rows))

    def sweep(self, now: datetime) -> int:
        """Publish what has been due for over a second; how many rows were tried. Raises PyMongoError."""
        if not self._observe(now):
            return 0
        self._put_right(now)
        tried = 0
        started = time.monotonic()
        under_way: _UnderWay | None = None
        due = {"due": {"$lte": now - _FRESH}}
        # One cursor for all: to look again from the beginning is to pass every row that was claimed just now.
        with self._rows.find(due, sort=[("due", 1)], batch_size=_BATCH) as waiting:
            while not self._stopping.is_set() and self._publisher.wait_connected(0.5):
                found = list(islice(waiting, _BATCH))
                if not found:
                    break
                # The next rows are claimed while the broker confirms the last ones.
                rows = self._claim(found, due, now + timedelta(seconds=time.monotonic() - started))
                last, under_way = under_way, self._begin([row for row in rows if not row.get("failing")])
                self._end(last, now, claimed=True)
                tried += len(rows)
                for row in rows:
                    # One that may close the channel goes alone, so that the others pass it by.
                    if row.get("failing"):
                        self._end(under_way, now, claimed=True)
                        under_way = None
                        self._end(self._begin([row]), now, claimed=True)
        self._end(under_way, now, claimed=True)
        return tried

    def _put_right(self, now: datetime) -> None:
        """Make due what was written by a clock that was ahead: it would wait until the clock is there again."""
        self._rows.update_many({"at": {"$gt": now + CLOCKS_DIFFER}}, {"$set": {"at": now, "due": now - _FRESH}})

    def flush(self, timeout: float) -> None:
        """Take no more rows; publish those in hand, for at most these seconds."""
        self._stopping.set()
        deadline = time.monotonic() + timeout
        while self._handed.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.01)

    def _start(self) -> None:
        with self._starting:
            if self._pid != os.getpid():
                self._pid = os.getpid()
                self._handed = queue.Queue(_HANDED_OVER_AT_MOST)
                threading.Thread(target=self._settle_handed, name="outbox", daemon=True).start()

    def _settle_handed(self) -> None:
        while True:
            taken = [self._handed.get()]
            if taken[0][1] is not None:
                # It is on its way already, and rows that are confirmed together are deleted in one call.
                self._stopping.wait(_GATHER_SECONDS)
            try:
                while sum(len(rows) for rows, _ in taken) < _BATCH:
                    taken.append(self._handed.get_nowait())
            except queue.Empty:
                pass
            now = utc_now()
            # Older ones that weren't sent are the sweep's by now.
            unsent = [row for rows, sent in taken if sent is None for row in rows if now - row["at"] < _FRESH]
            under_way = [self._begin(unsent), *((rows, sent) for rows, sent in taken if sent is not None)]
            try:
                self._end_all([one for one in under_way if one is not None], now, claimed=False)
            except PyMongoError as error:
                # The rows are still there, and the sweep publishes them again under the same ids.
                log.warning("outbox.not_settled", count=sum(len(rows) for rows, _ in taken), **where(error))
            finally:
                for _ in taken:
                    self._handed.task_done()

    def _claim(self, found: Sequence[Row], due: Mapping[str, Any], at: datetime) -> Sequence[Row]:
        """Those of the rows that are still due, kept from other relays until ten seconds after `at`.

        A whole batch in one write: with `find_one_and_update`, row by row, the claim alone took 2 ms a row.
        """
        claim, ids = new_id(), [row["_id"] for row in found]
        claimed = self._rows.update_many(
            {"_id": {"$in": ids}, **due}, {"$set": {"due": at + _LEASE, "claim": claim}}, hint=[("_id", 1)]
        )
        if claimed.modified_count == len(found):
            return found
        # Another relay was there at the same time, and has the others.
        ours = {row["_id"] for row in self._rows.find({"_id": {"$in": ids}, "claim": claim}, {"_id": 1})}
        return [row for row in found if row["_id"] in ours]

    def _begin(self, rows: Sequence[Row]) -> _UnderWay | None:
        return (rows, self._publisher.begin(rows)) if rows else None

    def _end(self, under_way: _UnderWay | None, now: datetime, *, claimed: bool) -> None:
        """Wait for the broker's word on each row, and settle it."""
        if under_way is not None:
            self._end_all([under_way], now, claimed=claimed)

    def _end_all(self, under_way: Sequence[_UnderWay], now: datetime, *, claimed: bool) -> None:
        rows: list[Row] = []
        outcomes: dict[str, Outcome] = {}
        for some, sent in under_way:
            rows += some
            outcomes |= sent.wait(max(0.0, sent.at + _PUBLISH_SECONDS - time.monotonic()))
        if not rows:
            return
        if len(rows) > 1 and "refused" in outcomes.values():
            # The broker closed the channel over one of them: each alone, to learn which.
            for row in rows:
                if outcomes[row["_id"]] == "refused":
                    outcomes |= self._publisher.publish([row], _PUBLISH_SECONDS)
        for outcome in outcomes.values():
            _PUBLISHED.labels(self._unit_of_work.service, outcome).inc()
        self._settle(rows, outcomes, now, claimed=claimed)

    def _settle(self, rows: Sequence[Row], outcomes: Mapping[str, Outcome], now: datetime, *, claimed: bool) -> None:
        changes: list[DeleteMany | UpdateMany | UpdateOne] = []
        confirmed = [event_id for event_id, outcome in outcomes.items() if outcome == "ok"]
        unknown = [event_id for event_id, outcome in outcomes.items() if outcome == "unknown"]
        if confirmed:
            changes.append(DeleteMany({"_id": {"$in": confirmed}}))
        if unknown and claimed:
            changes.append(UpdateMany({"_id": {"$in": unknown}}, {"$set": {"due": now}}))
        for row in rows:
            outcome = outcomes[row["_id"]]
            if outcome in ("nacked", "returned", "refused"):
                changes.append(self._back_off(row, outcome, now))
        if changes:
            self._rows.bulk_write(changes, ordered=False)

    def _back_off(self, row: Row, outcome: Outcome, now: datetime) -> UpdateOne:
        attempts = int(row["attempts"]) + 1
        failing = attempts >= _FAILING_AFTER
        if failing:
            log.error("outbox.failing", event_id=row["_id"], event_type=row["key"], outcome=outcome)
        return UpdateOne(
            {"_id": row["_id"]},
            {"$set": {"attempts": attempts, "due": now + full_jitter(attempts, _SLOWEST), "failing": failing}},
        )

    def _observe(self, now: datetime) -> bool:
        """Whether there is anything: an empty outbox, as it nearly always is, costs the sweep one read."""
        # An id begins with its time, so the oldest row needs no index of its own.
        oldest = self._rows.find_one({}, {"at": 1}, sort=[("_id", 1)])
        age = 0.0 if oldest is None else max(0.0, (now - oldest["at"]).total_seconds())
        _OLDEST.labels(self._unit_of_work.service).set(age)
        failing = 0 if oldest is None else self._rows.count_documents({"failing": True})
        _FAILING.labels(self._unit_of_work.service).set(failing)
        if age > _ALARM_SECONDS and now - self._alarmed > _ALARM_AGAIN:
            self._alarmed = now
            log.error("outbox.waiting", seconds=round(age))
        return oldest is not None
