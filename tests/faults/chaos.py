"""What goes wrong, drawn from a seed: one act after another, each written down with its times.

An act is a function of the run and the draw that does its harm, waits until who was harmed is well again, and returns
what it did. To add one, write it and name it in ACTS.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deploy.local.processes import Process
from shared.events import SERVICES
from tests.faults.running import Running

KILLED_SERVERS = ("mongodb", "rabbitmq", "seaweedfs", "mail")
LONG_STOP_SECONDS = 20.0
_SHORT_STOP_SECONDS = (1.0, 5.0)
# Where each process can be made to die, named as in inside_process/sitecustomize.py.
STEPS: tuple[tuple[str, str], ...] = (
    *((process, step) for process in ("case-api", "consent-api", *(f"{service}-worker" for service in SERVICES))
      for step in ("before-transaction", "in-transaction", "after-transaction", "before-publish", "before-confirm")),
    *((f"{service}-worker", step) for service in SERVICES for step in (
        "in-inbox-transaction", "before-ack", "counted-not-deleted", "deleted-not-read-back", "key-gone-no-receipt")),
    *((f"{service}-api", "before-audit") for service in SERVICES),
    ("document-api", "before-transaction"),
    ("document-api", "stored-not-recorded"),
    *(("notifier-worker", step) for step in (
        "sending-not-handed-over", "handed-over-not-said", "sending-not-mailed", "mailed-not-said")),
    ("consent-worker", "decided-not-in-ledger"),
    ("consent-worker", "in-ledger-not-copied"),
    ("consent-worker", "in-ledger-not-begun"),
    ("consent-worker", "signed-not-in-ledger"),
    ("consent-worker", "in-ledger-not-completed"),
)  # fmt: skip
_ARMED_SECONDS = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that was done: `begun` and `ended` as time.monotonic() has it; ended when all was well again."""

    what: str
    begun: float
    ended: float

    def line(self, zero: float) -> str:
        return f"{self.begun - zero:7.1f}-{self.ended - zero:.1f} s {self.what}"


Act = Callable[[Running, random.Random], str]


def kill_a_worker(running: Running, rng: random.Random) -> str:
    return _killed(running, running.service(f"{rng.choice(SERVICES)}-worker"))


def kill_an_api(running: Running, rng: random.Random) -> str:
    """Now the whole of it, now gunicorn's child alone."""
    process = running.service(f"{rng.choice(SERVICES)}-api")
    if rng.random() < 0.5:
        return _killed(running, process)
    for child in _children(process.pid):
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    running.wait_well(process)
    return f"kill -9 of the child of {process.name}"


def terminate_a_service(running: Running, rng: random.Random) -> str:
    process = running.service(f"{rng.choice(SERVICES)}-{rng.choice(['api', 'worker'])}")
    running.terminate(process)
    running.wait_well(process)
    return f"SIGTERM to {process.name}"


def stop_a_worker(running: Running, rng: random.Random) -> str:
    """Stopped for longer than its leases, and then it goes on as if nothing had been."""
    process, seconds = running.service(f"{rng.choice(SERVICES)}-worker"), rng.uniform(1, 8)
    with running.frozen(process):
        time.sleep(seconds)
    return f"SIGSTOP of {process.name} for {seconds:.1f} s"


def stop_a_server(running: Running, rng: random.Random) -> str:
    return _stopped(running, rng.choice(KILLED_SERVERS), rng.uniform(*_SHORT_STOP_SECONDS))


def stop_a_server_for_long(running: Running, rng: random.Random) -> str:
    return _stopped(running, rng.choice(KILLED_SERVERS[:3]), LONG_STOP_SECONDS)


def kill_mongodb(running: Running, rng: random.Random) -> str:
    return _killed(running, running.server("mongodb"))


def kill_rabbitmq(running: Running, rng: random.Random) -> str:
    return _killed(running, running.server("rabbitmq"))


def kill_the_object_store(running: Running, rng: random.Random) -> str:
    return _killed(running, running.server("seaweedfs"))


def kill_the_mail_server(running: Running, rng: random.Random) -> str:
    return _killed(running, running.server("mail"))


def kill_a_server_and_a_worker(running: Running, rng: random.Random) -> str:
    server, worker = running.server(rng.choice(KILLED_SERVERS)), running.service(f"{rng.choice(SERVICES)}-worker")
    running.kill(server)
    return f"kill -9 of {server.name} and {_killed(running, worker, server)}"


def die_at_a_named_step(running: Running, rng: random.Random) -> str:
    """Armed for a while; not every process comes to every step in that time."""
    process, step = rng.choice(STEPS)
    hit = running.arm(process, step)
    deadline = time.monotonic() + _ARMED_SECONDS
    while not hit.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    happened = running.disarm(process, step)
    if happened:
        time.sleep(0.2)
        running.wait_well(running.service(process))
    return f"{process} {'killed' if happened else 'never came to be killed'} at {step}"


def jump_the_clocks(running: Running, rng: random.Random) -> str:
    """An hour forwards or back, and to the right time again."""
    seconds = rng.choice([3600.0, -3600.0])
    with running.wrong_clock(seconds):
        time.sleep(rng.uniform(1, 3))
    return f"the services' clocks {seconds:+.0f} s"


ACTS: dict[Act, int] = {
    # Each with how often it is done in a run of the CI's size.
    kill_a_worker: 4,
    kill_an_api: 3,
    terminate_a_service: 3,
    stop_a_worker: 2,
    stop_a_server: 2,
    stop_a_server_for_long: 1,
    kill_mongodb: 2,
    kill_rabbitmq: 1,
    kill_the_object_store: 1,
    kill_the_mail_server: 1,
    kill_a_server_and_a_worker: 1,
    die_at_a_named_step: 8,
    jump_the_clocks: 2,
}


class Chaos:
    """Does every act of the plan, in an order and at times that the seed decides."""

    def __init__(self, running: Running, seed: int, rounds: int) -> None:
        self._running = running
        self._seed = seed
        self._rounds = rounds
        self.faults: list[Fault] = []
        self.failed: BaseException | None = None
        self.over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chaos", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait(self, within_seconds: float) -> None:
        self._thread.join(within_seconds)
        assert not self._thread.is_alive(), f"chaos isn't over; last: {self.faults[-1:]}"
        if self.failed is not None:
            raise self.failed

    def _run(self) -> None:
        rng = random.Random(f"{self._seed}:chaos")
        try:
            for _ in range(self._rounds):
                for act in _shuffled(rng):
                    time.sleep(rng.uniform(0.2, 1.5))
                    self.do(act, rng)
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            self.failed = error
        finally:
            self.over.set()

    def do(self, act: Act, rng: random.Random) -> None:
        begun = time.monotonic()
        what = act(self._running, rng)
        self.faults.append(Fault(what=what, begun=begun, ended=time.monotonic()))


def _shuffled(rng: random.Random) -> Sequence[Act]:
    acts = [act for act, times in ACTS.items() for _ in range(times)]
    rng.shuffle(acts)
    return acts


def _killed(running: Running, *processes: Process) -> str:
    running.kill(processes[0])
    running.wait_well(*processes)
    return f"kill -9 of {processes[0].name}"


def _stopped(running: Running, name: str, seconds: float) -> str:
    process = running.server(name)
    with running.frozen(process):
        time.sleep(seconds)
    running.wait_well(process)
    return f"SIGSTOP of {name} for {seconds:.1f} s"


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
