"""Opening a case and adding a person over HTTP by eight clients, beside two apps of Flask and pymongo (bare.py).

All run under gunicorn with the same flags, on the same mongod, and wait for a majority and its journal. Ours is the
whole service under an Idempotency-Key: token, role, schema, gate (and, of a new case, its key), consent, encryption,
search hashes, the outbox row, the kept answer and the audit row, in one transaction. What the other services then do
about a new case (each makes a gate and a key) happens on the same cores meanwhile.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from deploy.commands import api_command
from deploy.local.broker import Management
from deploy.local.machine import free_port, listens
from deploy.local.places import PROJECT, private_folder
from deploy.local.processes import Process, Program
from tests.bench import bare
from tests.bench.bench import Bench
from tests.bench.clients import CLIENTS, rate
from tests.bench.results import REPORT_ONLY, Result, at_least, at_most
from tests.system import System

NAME = "casework"
_CASE = {"channel": "phone"}
_PERSON = {
    "role": "parent",
    "given_name": "Żaneta",
    "family_name": "Okonkwo-Łukasik",
    "date_of_birth": "1985-12-10",
    "address": ["14 Dolphin Terrace", "Marlow Vale", "SW1A 1AA"],
    "email": "zaneta.okonkwo@family.example",
    "phone": "07700 900123",
}


def run(bench: Bench) -> list[Result]:
    system = bench.system()
    times = bench.sized(40, 5)
    token = system.token("caseworker", sub="worker-one")
    with _app(bench, "create_app") as bare_port, _app(bench, "by_hand") as hand_port:
        ports = {"ours": system.provided.ports["case"], "bare": bare_port, "by hand": hand_port}
        bench.say("opening the cases that people are added to")
        # A family has a few people: each case gets a handful in the whole run.
        cases = _open_cases(system, bench.sized(200, 8))

        def measured(side: str, work: str) -> float:
            paths = iter(itertools.cycle(cases))
            lock = threading.Lock()

            def path() -> str:
                if work == "case":
                    return "/v1/cases"
                with lock:
                    return f"/v1/cases/{next(paths)}/people"

            _settle(bench, system)
            return rate(ports[side], token, path, _CASE if work == "case" else _PERSON, times)

        results = []
        for work, said in (
            ("case", "open a case (HTTP, 8 clients)"),
            ("person", "add a person (HTTP, 8 clients)"),
        ):
            for side in ports:
                measured(side, work)
            found = bench.interleaved({side: lambda side=side, work=work: measured(side, work) for side in ports})  # type: ignore[misc]
            for side, beside, target in (
                ("by hand", "the same guarantees by hand: Flask + pymongo, one transaction", at_least(0.5)),
                ("bare", "bare Flask + pymongo insert, same gunicorn", REPORT_ONLY),
            ):
                figures = f"ours {found['ours']:.0f}/s, {side} {found[side]:.0f}/s"
                results.append(Result(said, beside, found["ours"] / found[side], target, figures))
        results.append(_processor_time(bench, system, token))
    return results


def _processor_time(bench: Bench, system: System, token: str) -> Result:
    """Of every process together, services and servers, for a case and all that is done about it."""
    _settle(bench, system)
    times = bench.sized(40, 5)
    before = _cpu_seconds()
    rate(system.provided.ports["case"], token, lambda: "/v1/cases", _CASE, times)
    _settle(bench, system)
    spent = (_cpu_seconds() - before) / (CLIENTS * times) * 1000
    return Result("processor time for an opened case, all processes together", "–", spent, at_most(18), unit="ms")


def _cpu_seconds() -> float:
    """Seconds that the machine's processors were busy, in user and system mode: nothing else runs in a bench."""
    user, nice, kernel = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:4])
    return (user + nice + kernel) / os.sysconf("SC_CLK_TCK")


def _open_cases(system: System, count: int) -> list[str]:
    """So many open cases: all agreed to, and known to be."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        shells = list(pool.map(lambda _: system.a_shell(), range(count)))
        list(pool.map(system.a_consent, shells))
    deadline = time.monotonic() + 60
    waiting = shells
    while waiting := [one for one in waiting if system.caseworker.read(f"/cases/{one}")["state"] != "open"]:
        assert time.monotonic() < deadline, f"{len(waiting)} cases didn't open"
        time.sleep(0.2)
    return shells


def _settle(bench: Bench, system: System) -> None:
    """Wait until no service has anything to read, so that one side's work doesn't run in the other's time."""
    management = Management.of(bench.stack.places, bench.stack.ports)
    deadline = time.monotonic() + 60
    empty = 0
    while empty < 2:
        empty = empty + 1 if not any(management.queues(system.provided.prefix).values()) else 0
        assert time.monotonic() < deadline, "the services didn't catch up"
        time.sleep(0.2)


@contextmanager
def _app(bench: Bench, name: str) -> Iterator[int]:
    """One of the bare apps running; its port."""
    provided, places, port = bench.provided, bench.stack.places, free_port()
    temp = private_folder(places.temp / name)
    command = [*api_command("case", f"127.0.0.1:{port}", str(temp))[:-1], f"{bare.__name__}:{name}()"]
    env = {
        "TMPDIR": str(temp),
        bare.URL: (provided.secrets["case"] / "mongo-url").read_text(),
        bare.DATABASE: f"{provided.prefix}_case",
    }
    program = Program(name=name, command=command, cwd=PROJECT, env=env, ready=lambda: listens(port))
    process = Process(program, places)
    process.start()
    try:
        process.wait_ready()
        yield port
    finally:
        process.stop()
