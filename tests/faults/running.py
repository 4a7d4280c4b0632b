"""The servers and services of the fault suite: killed at will, and started again as `make up` does."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.places import PROJECT, private_folder
from deploy.local.processes import Process, stop_all
from deploy.local.provision import Provision
from deploy.local.stack import Stack
from shared.events import SERVICES
from tests.helpers import kill

INSIDE = Path(__file__).with_name("inside_process")
SERVERS = ("mongodb", "rabbitmq", "seaweedfs", "mail")
_LOOK_SECONDS = 0.1


class Running:
    """One stack, its services on these names, and a thread that starts again whatever of them ended unasked.

    The stack's servers are among them if they were started by this process. settings: more of them for the services.
    on_death: told the name of a process (`case-worker`) that died at a step, before its next life begins.
    quick: a worker's next life is forked from what its first one had imported, which takes a fifth of the time.
    """

    def __init__(
        self,
        stack: Stack,
        provided: Provision,
        inside: Path,
        *,
        settings: Mapping[str, str] | None = None,
        on_death: Callable[[str], object] = lambda name: None,
        quick: bool = False,
    ) -> None:
        self.stack = stack
        self.provided = provided
        self.inside = inside
        self._settings = dict(settings or {})
        self._on_death = on_death
        self._quick = quick
        self._services: dict[str, Process] = {}
        self.restarts: dict[str, int] = {}
        self._over = threading.Event()
        self._keeping = threading.Thread(target=self._keep, name="keeping", daemon=True)
        private_folder(inside / "deadly")
        for service in SERVICES:
            for role in ("api", "worker"):
                private_folder(inside / "armed" / f"{service}-{role}")

    def start(self) -> None:
        env = {"PYTHONPATH": f"{INSIDE}:{PROJECT}", "FAULTS_INSIDE": str(self.inside)}
        if self._quick:
            env["FAULTS_QUICK"] = "on"
        self._services = self.stack.start_services(self.provided, extra_env={**env, **self._settings})
        self._keeping.start()

    def stop(self, *, at_once: bool = False) -> None:
        """End the services; at once where nothing of theirs is looked at afterwards."""
        self._over.set()
        if self._keeping.is_alive():
            self._keeping.join(10)
        if at_once:
            kill(self._services.values())
        stop_all(self._services.values())

    def server(self, name: str) -> Process:
        return self.stack.servers[name]

    def service(self, name: str) -> Process:
        """`case-worker` and the like."""
        return self._services[name]

    @property
    def all(self) -> list[Process]:
        return [*self.stack.servers.values(), *self._services.values()]

    def _keep(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            self._tell_of_deaths()
            for process in self.all:
                if not process.running and not self._over.is_set():
                    self.restarts[process.name] = self.restarts.get(process.name, 0) + 1
                    # A machine that is full for a moment must not end what starts everything again.
                    with suppress(StackError, OSError):
                        process.start()

    def _tell_of_deaths(self) -> None:
        for died in (self.inside / "armed").glob("*/*.died"):
            self._on_death(died.parent.name)
            # Whoever forks the next life waits for this.
            died.unlink()

    def wait_well(self, *processes: Process, within_seconds: float = 60) -> None:
        """Until these, or all, do their work again. Raises AssertionError."""
        deadline = time.monotonic() + within_seconds
        for process in processes or self.all:
            while not (process.running and process.program.ready()):
                assert time.monotonic() < deadline, f"{process.name} isn't well; its log: {process.log}"
                time.sleep(0.05)

    # What is done to them

    def kill(self, process: Process) -> None:
        """SIGKILL; the keeping thread starts it again."""
        _forget_ready(process)
        with suppress(ProcessLookupError):
            process.kill(signal.SIGKILL)

    def terminate(self, process: Process) -> None:
        _forget_ready(process)
        with suppress(ProcessLookupError):
            process.kill(signal.SIGTERM)
        process.wait_ended(15)

    @contextmanager
    def frozen(self, process: Process) -> Iterator[None]:
        """SIGSTOP meanwhile."""
        pid = process.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def arm(self, process: str, step: str) -> Path:
        """Have this process (`case-worker`) die when it comes to the step; the file that tells whether it has."""
        armed = self.inside / "armed" / process / step
        armed.with_suffix(".hit").unlink(missing_ok=True)
        armed.touch(mode=0o600)
        return armed.with_suffix(".hit")

    def disarm(self, process: str, step: str) -> bool:
        """Take it back; whether it had been hit."""
        armed = self.inside / "armed" / process / step
        armed.unlink(missing_ok=True)
        return armed.with_suffix(".hit").exists()

    @contextmanager
    def wrong_clock(self, seconds: float) -> Iterator[None]:
        """All services' clocks are wrong by this much meanwhile."""
        file, part = self.inside / "clock", self.inside / "clock.part"
        part.write_text(str(seconds))
        part.rename(file)
        try:
            yield
        finally:
            self.wrong_clock_ends()

    def wrong_clock_ends(self) -> None:
        (self.inside / "clock").unlink(missing_ok=True)

    def make_deadly(self, event_id: str) -> None:
        (self.inside / "deadly" / event_id).touch(mode=0o600)


def _forget_ready(process: Process) -> None:
    # What says that a worker is ready may be its last life's.
    if process.program.ready_file is not None:
        process.program.ready_file.unlink(missing_ok=True)
