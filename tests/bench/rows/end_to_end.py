"""From the call of an API to its effect in another service, at 40 calls a second.

`POST /v1/cases` at the case service, until the notifier's row of the case can be read by a majority: beside the same
two steps by hand (by_hand.py). Timed on one clock, from the moment a call was due to the moment that MongoDB's change
stream of the notifier's collection shows the row.
"""

from __future__ import annotations

import http.client
import json
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from pymongo import MongoClient

from deploy.commands import api_command, worker_command
from deploy.local import mongo
from deploy.local.machine import listens
from deploy.local.places import PROJECT, private_folder
from deploy.local.processes import Process, Program
from deploy.local.provision import Provision
from tests.bench import by_hand
from tests.bench.bench import Bench
from tests.bench.results import Result, at_most
from tests.system import System

NAME = "end_to_end"
_A_SECOND = 40
_CLIENTS = 12


class Side:
    """One way of doing it: its api, its callers' token, and a watch on the rows that it makes."""

    def __init__(self, client: MongoClient[Any], provided: Provision, token: str) -> None:
        self.port = provided.ports["case"]
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._rows = client[f"{provided.prefix}_notifier"]["projections"]
        self._local = threading.local()

    def latencies(self, seconds: float) -> list[float]:
        """Call at an even pace for so long; how many seconds each call's effect took, in order of length."""
        count = round(seconds * _A_SECOND)
        seen: dict[str, float] = {}
        enough = threading.Event()
        with self._rows.watch([{"$match": {"operationType": "insert"}}, {"$project": {"documentKey": 1}}]) as stream:
            watching = threading.Thread(target=_watch, args=(stream, seen, count, enough), daemon=True)
            watching.start()
            start = time.perf_counter() + 0.2
            with ThreadPoolExecutor(_CLIENTS) as clients:
                calls = [clients.submit(self._call, start + number / _A_SECOND) for number in range(count)]
                due = dict(call.result() for call in calls)
            assert enough.wait(60), f"{count - len(seen)} effects are missing"
            watching.join()
        return sorted(seen[case_id] - at for case_id, at in due.items())

    def _call(self, at: float) -> tuple[str, float]:
        time.sleep(max(0.0, at - time.perf_counter()))
        if not hasattr(self._local, "connection"):
            self._local.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection = self._local.connection
        connection.request("POST", "/v1/cases", b'{"channel": "phone"}', self._headers)
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status == 201, (answer.status, said[:300])
        return json.loads(said)["id"], at


def _watch(stream: Any, seen: dict[str, float], count: int, enough: threading.Event) -> None:
    while len(seen) < count:
        change = stream.try_next()
        if change is not None:
            seen[change["documentKey"]["_id"]] = time.perf_counter()
    enough.set()


def run(bench: Bench) -> list[Result]:
    seconds = bench.sized(8.0, 1.5)
    system = bench.system()
    places, ports = bench.stack.places, bench.stack.ports
    with ExitStack() as stack:
        client = stack.enter_context(mongo.admin_client(places, ports))
        unsafe = stack.enter_context(_by_hand(bench))
        sides = {"ours": Side(client, system.provided, system.token("caseworker"))}
        sides["unsafe"] = Side(client, unsafe, System(bench.stack, unsafe).token("caseworker"))
        for side in sides.values():
            side.latencies(1.5)
        found: dict[str, list[list[float]]] = {name: [] for name in sides}
        for number in range(bench.rounds):
            for name in list(sides) if number % 2 == 0 else list(reversed(sides)):
                found[name].append(sides[name].latencies(seconds))
            bench.say(f"round {number + 1}: " + ", ".join(f"{n} {_told(r[-1])}" for n, r in found.items()))
    work, beside = "API call → effect in another service, 40/s", "insert, then publish by hand (unsafe)"
    results = []
    for name, share, limit in (("p50", 0.5, 1.3), ("p99", 0.99, 1.5)):
        of = {side: statistics.median(_at(round_, share) for round_ in rounds) * 1000 for side, rounds in found.items()}
        figures = f"ours {of['ours']:.1f} ms, unsafe {of['unsafe']:.1f} ms"
        results.append(Result(f"{work}, {name}", beside, of["ours"] / of["unsafe"], at_most(limit), figures))
    return results


def _at(latencies: list[float], share: float) -> float:
    return latencies[min(len(latencies) - 1, int(len(latencies) * share))]


def _told(latencies: list[float]) -> str:
    return f"{_at(latencies, 0.5) * 1000:.1f}/{_at(latencies, 0.99) * 1000:.1f} ms"


@contextmanager
def _by_hand(bench: Bench) -> Iterator[Provision]:
    """The unsafe api and hearer, with databases, queues and accounts of their own."""
    places = bench.stack.places
    provided = bench.stack.provision("byhand")
    temp = private_folder(places.temp / "byhand")
    ready = private_folder(provided.run / "ready") / "by-hand"
    command = [
        *api_command("case", f"127.0.0.1:{provided.ports['case']}", str(temp))[:-1],
        f"{by_hand.__name__}:create_api()",
    ]
    programs = [
        Program(
            name="by-hand-api",
            command=command,
            cwd=PROJECT,
            env={**provided.env["case"], "TMPDIR": str(temp), "HOME": str(provided.run)},
            ready=lambda: listens(provided.ports["case"]),
        ),
        Program(
            name="by-hand-hearer",
            command=[worker_command("case")[0], "-m", by_hand.__name__],
            cwd=PROJECT,
            env={**provided.env["notifier"], "TMPDIR": str(temp), "FMN_READY_FILE": str(ready)},
            ready=ready.exists,
            ready_file=ready,
        ),
    ]
    processes = [Process(program, places) for program in programs]
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.wait_ready()
        yield provided
    finally:
        for process in processes:
            process.stop()
        bench.stack.deprovision("byhand")
