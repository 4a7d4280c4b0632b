"""The change feed: one question of an app that polls, among a million records; and what a write costs with it.

Nearly all records are rows of one store, as many as the case service would have of entries. The two sides of a write
are the same transaction on two stores of the same dataclass, of which the feed tells of one.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from bson.timestamp import Timestamp
from pymongo import WriteConcern

from shared.db import Disposal, Register, Repository
from shared.db.change_feed import ChangeFeed, Place
from shared.db.changes import Feed
from shared.db.unit_of_work import Tx
from shared.ids import new_id
from shared.service.service import Opened
from tests.bench.bench import Bench
from tests.bench.results import REPORT_ONLY, Result, at_most
from tests.system import open_with

NAME = "feed"
_BATCH = 5_000
# 2020: long before everything that the run writes.
_LONG_AGO = 1_577_836_800


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    id: str
    case_id: str
    version: int = 0
    words: str = "They rang, and will send the form."


def run(bench: Bench) -> list[Result]:
    system = bench.system()
    rows, times = bench.sized(1_000_000, 5_000), bench.sized(200, 20)
    bench.say(f"making {rows} entries that changed long ago")
    opened = open_with(system.provided, "case", "bench")
    try:
        case_id = system.an_open_case()
        _fill(opened, case_id, rows)
        feed = ChangeFeed(opened.runtime.register, last_restore=opened.runtime.restores.last_seen_at)
        kinds = feed.kinds
        idle = feed.now()
        middle = Place(generation=0, at=Timestamp(_LONG_AGO + rows // 2, 0), again=Timestamp(_LONG_AGO, 0))
        caller, path = system.caseworker, "case:/v1/changes"
        cursor = caller.read(path, after="now")["next"]
        asked = {
            "nothing new": lambda: feed.read(idle, kinds, limit=50),
            "a page of 50 from the middle": lambda: feed.read(middle, kinds, limit=50),
            "nothing new, over HTTP": lambda: caller.read(path, after=cursor),
        }
        found = bench.interleaved({name: _milliseconds(act, times) for name, act in asked.items()})
        written = _writes(bench, opened, case_id)
    finally:
        opened.runtime.unit_of_work.client.close()
    over_http = found.pop("nothing new, over HTTP")
    work = f"change feed among {rows:,} records"
    return [
        *(Result(f"{work}: {name}", "–", ms, at_most(5), unit="ms") for name, ms in found.items()),
        Result(f"{work}: nothing new, over HTTP", "–", over_http, REPORT_ONLY, unit="ms"),
        Result(
            "a transaction that writes a record the feed tells of",
            "the same on a store it doesn't tell of",
            written["told"] / written["not told"],
            REPORT_ONLY,
            figures=f"{written['told']:.2f} ms, {written['not told']:.2f} ms",
        ),
    ]


def _milliseconds(act: Callable[[], object], times: int) -> Callable[[], float]:
    """The median of so many."""

    def measured() -> float:
        taken = []
        for _ in range(times):
            started = time.perf_counter()
            act()
            taken.append((time.perf_counter() - started) * 1000)
        return statistics.median(taken)

    measured()
    return measured


def _fill(opened: Opened[object], case_id: str, count: int) -> None:
    """Rows of entries with a sealed part of the usual length that no one opens."""
    rows = opened.runtime.unit_of_work.db["entries"].with_options(write_concern=WriteConcern(1))
    sealed = bytes(300)
    numbers = iter(range(count))
    while batch := list(itertools.islice(numbers, _BATCH)):
        rows.insert_many(
            [
                {
                    "_id": new_id(),
                    "case_id": case_id,
                    "version": 1,
                    "changed": Timestamp(_LONG_AGO + number, 1),
                    "kind": "note",
                    "personal": sealed,
                }
                for number in batch
            ],
            ordered=False,
        )


def _writes(bench: Bench, opened: Opened[object], case_id: str) -> dict[str, float]:
    """Milliseconds of a transaction on either store, in turns."""
    unit_of_work = opened.runtime.unit_of_work
    register = Register(unit_of_work)
    options = {"clear": {}, "disposal": Disposal.ERASE}
    stores = {
        "told": register.repository("bench_told", Note, feed=Feed(kind="note"), **options),  # type: ignore[arg-type]
        "not told": register.repository("bench_not_told", Note, **options),  # type: ignore[arg-type]
    }
    for store in stores.values():
        store.prepare()

    def write(store: Repository[Note]) -> None:
        def act(tx: Tx) -> Note:
            tx.enter(case_id)
            return store.add(Note(id=new_id(), case_id=case_id), tx=tx)

        unit_of_work.run(act)

    taken: dict[str, list[float]] = {name: [] for name in stores}
    for number in range(bench.sized(1_500, 20)):
        # In pairs, since another process on the machine slows a whole second.
        for name in sorted(stores, reverse=number % 2 == 0):
            started = time.perf_counter()
            write(stores[name])
            taken[name].append((time.perf_counter() - started) * 1000)
    return {name: statistics.median(values) for name, values in taken.items()}
