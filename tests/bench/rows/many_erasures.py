"""A thousand erasures confirmed at once: whether they finish, how fast, and whether the workers' memory stays flat."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from deploy.local import mongo
from shared.events import SERVICES
from tests.bench.bench import Bench
from tests.bench.results import REPORT_ONLY, Result, at_most
from tests.system import System

NAME = "many_erasures"
_CASES = 1_000
_CLIENTS = 8
_FLAT = 1.1
_SECONDS_EACH = 1.0


def run(bench: Bench) -> list[Result]:
    """Cases with an entry and nobody to write to, so that it is erasing that is timed and not the printing."""
    system, count = bench.system(), bench.sized(_CASES, 12)
    with mongo.admin_client(bench.stack.places, bench.stack.ports) as client:
        bench.say("opening the cases")
        requests = _asked_for(system, count)
        with _sampled(system) as samples:
            started = time.perf_counter()
            with ThreadPoolExecutor(_CLIENTS) as clients:
                list(clients.map(system.confirm, requests))
            confirmed = time.perf_counter() - started
            _wait_completed(bench, client, system, count)
            took = time.perf_counter() - started
    assert all(system.is_completed(request) for request in requests[:: max(1, count // 20)])
    third = max(1, len(samples) // 3)
    first, last = statistics.mean(samples[:third]), statistics.mean(samples[-third:])
    work = f"{_CASES:,} erasures queued at once"
    return [
        Result(
            work,
            "–",
            count / took,
            REPORT_ONLY,
            f"all completed in {took:.0f} s, confirmed within {confirmed:.0f} s",
            "cases/s",
        ),
        Result(
            f"{work}: memory flat",
            "workers' memory in the first third",
            last / first,
            at_most(_FLAT),
            f"four workers: {first:.0f} MB, then {last:.0f} MB, at most {max(samples):.0f} MB",
        ),
    ]


def _asked_for(system: System, count: int) -> list[str]:
    """Ids of so many requests that wait for a confirmation, each of a case of its own that has an entry."""

    def open_case(_number: int) -> str:
        case_id = system.a_shell()
        system.a_consent(case_id)
        return case_id

    def ask(case_id: str) -> str:
        path, entry = f"/cases/{case_id}/entries", {"kind": "wish", "text": "a place at the school nearby"}
        deadline = time.monotonic() + 60
        while system.caseworker.post(path, entry).status_code != 201:
            assert time.monotonic() < deadline, "a case didn't open"
            time.sleep(0.1)
        return str(system.an_erasure(case_id)["id"])

    with ThreadPoolExecutor(_CLIENTS) as clients:
        cases = list(clients.map(open_case, range(count)))
        return list(clients.map(ask, cases))


def _wait_completed(bench: Bench, client: MongoClient[Any], system: System, count: int) -> None:
    requests = client[f"{system.provided.prefix}_consent"]["requests"]
    done = {"kind": "erasure", "status": "completed"}
    deadline = time.monotonic() + max(60, count * _SECONDS_EACH)
    told = time.monotonic()
    while (left := requests.count_documents({"kind": "erasure"}) - requests.count_documents(done)) > 0:
        assert time.monotonic() < deadline, f"{left} of {count} aren't finished"
        if time.monotonic() - told > 10:
            bench.say(f"{left} to go")
            told = time.monotonic()
        time.sleep(0.1)


@contextmanager
def _sampled(system: System) -> Iterator[list[float]]:
    """The four workers' resident memory together, in MB, twice a second."""
    samples: list[float] = []
    over = threading.Event()
    pids = [system.process(f"{service}-worker").pid for service in SERVICES]

    def sample() -> None:
        while not over.is_set():
            samples.append(sum(_resident_mb(pid) for pid in pids))
            over.wait(0.5)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6
