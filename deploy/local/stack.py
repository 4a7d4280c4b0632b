"""The embedded stack: four real servers and the services, as child processes of the process that starts it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from types import TracebackType

from deploy.local import broker, mongo, objects, services
from deploy.local.errors import AlreadyRunning, StackError
from deploy.local.machine import listens, require_free, require_supported
from deploy.local.places import (
    DEFAULT_PREFIX,
    PROJECT,
    Places,
    Ports,
    from_environment,
    places,
    private_folder,
    write_private,
)
from deploy.local.processes import Process, Program, stop_all, stop_leftovers
from deploy.local.provision import Provision, deprovision, provision
from shared.erasure.readings import READER
from shared.events import SERVICES

Report = Callable[[str, str], None]

# A process that ends more often than this within a minute isn't restarted.
_MOST_RESTARTS = 5
_MINUTE_S = 60


def _silent(_part: str, _state: str) -> None:
    return


class Stack:
    """One embedded stack in one folder.

    report: called as report(part, state); the state is `starting`, `ready`, `stopped` or a sentence. The process that
    calls `start_servers` owns the servers. Another process of the same user can `attach` to them, provision its own
    prefix and run its own services.
    """

    def __init__(
        self,
        root: Path,
        port_base: int,
        *,
        world: Path | None = None,
        packages: Path | None = None,
        report: Report = _silent,
    ) -> None:
        self.places: Places = places(root, world, packages)
        self.ports = Ports(base=port_base)
        self.report = report
        self.servers: dict[str, Process] = {}
        self.services: dict[str, Process] = {}
        self._lock: int | None = None
        self.ending = False

    @classmethod
    def from_environment(cls, *, report: Report = _silent) -> Stack:
        """Return the stack that FMN_LOCAL and FMN_PORT_BASE name."""
        return cls(*from_environment(), report=report)

    def __enter__(self) -> Stack:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Servers

    def start_servers(self) -> None:
        """Start the servers in parallel and wait until they work.

        Raises UnsupportedMachine, AlreadyRunning, PortTaken or StackError, and then stops what it had started.
        """
        require_supported()
        self.places.make()
        self._take_lock()
        try:
            if count := stop_leftovers(self.places.root):
                self.report("stack", f"stopped {count} processes that a crashed run had left")
            self._clean_up_crashed_run()
            require_free(self.ports.servers.items())
            shutil.rmtree(self.places.temp, ignore_errors=True)
            private_folder(self.places.temp)
            write_private(
                self.places.run / "stack.json",
                json.dumps({"pid": os.getpid(), "port_base": self.ports.base, "world": str(self.places.world)}),
            )
            self._in_parallel(self.server_starts())
        except BaseException:
            self.stop()
            raise

    def server_starts(self) -> Sequence[Callable[[], None]]:
        """Return the functions that each start a server and wait until it works; they run in parallel.

        A subclass can provide other servers, on the stack's ports and with the administrators' secrets in
        `places.admin`. A process that attaches sees no difference.
        """
        return (self._start_mongo, self._start_rabbit, self._start_objects, self.start_mail)

    def _in_parallel(self, starts: Sequence[Callable[[], None]]) -> None:
        """Run the functions in parallel; the first that fails stops the others."""
        self.ending = False
        with ThreadPoolExecutor(len(starts)) as pool:
            try:
                for done in as_completed([pool.submit(start) for start in starts]):
                    done.result()
            except BaseException:
                self.ending = True
                stop_all(self.servers.values())
                raise

    def attach(self) -> Stack:
        """Use the servers that another process started in this folder. Raises StackError when there are none."""
        if not self.is_up():
            where = f"{self.places.root} on ports from {self.ports.base}"
            raise StackError(f"No stack is up in {where}: `make up` starts one.")
        return self

    def is_up(self) -> bool:
        return all(listens(self.ports[name]) for name in ("mongodb", "amqp", "s3", "smtp"))

    def _start(self, program: Program) -> None:
        if self.ending:
            raise StackError(f"{program.name} wasn't started: the stack is stopping.")
        process = self.servers[program.name] = Process(program, self.places)
        self.report(program.name, "starting")
        process.start()
        process.wait_ready()

    def _start_mongo(self) -> None:
        self._start(mongo.program(self.places, self.ports, lambda text: self.report("mongodb", text)))
        mongo.prepare(self.places, self.ports)
        self.report("mongodb", "ready")

    def _start_rabbit(self) -> None:
        self._start(broker.program(self.places, self.ports, lambda text: self.report("rabbitmq", text)))
        self.report("rabbitmq", "ready")

    def _start_objects(self) -> None:
        self._start(objects.program(self.places, self.ports))
        self.report("seaweedfs", "ready")

    def start_mail(self) -> None:
        port = self.ports["smtp"]
        self._start(
            Program(
                name="mail",
                command=[sys.executable, "-m", "deploy.local.mailcatcher", str(port), str(self.places.mail)],
                cwd=PROJECT,
                ready=lambda: listens(port),
                grace_s=3,
            )
        )
        self.report("mail", "ready")

    # Prefixes and services

    def provision(self, prefix: str = DEFAULT_PREFIX, service_ports: Mapping[str, int] | None = None) -> Provision:
        """Create the accounts, vhost, buckets, secrets and settings that `prefix` lacks (see provision.py)."""
        return provision(self.places, self.ports, prefix, service_ports)

    def deprovision(self, prefix: str) -> None:
        """Delete everything that `provision(prefix)` created."""
        deprovision(self.places, self.ports, prefix)

    def start_services(
        self,
        provided: Provision,
        only: Iterable[str] | None = None,
        extra_env: Mapping[str, str] | None = None,
    ) -> dict[str, Process]:
        """Start the services, wait until they are ready, and return the processes by name (`case-api`, `case-worker`).

        only: names of services (`case`: both processes) or of processes; by default all, and the independent reader.
        Raises PortTaken or StackError.
        """
        programs = services.programs(self.places, provided, set(only or (*SERVICES, READER)), extra_env or {})
        require_free(
            (name, provided.ports[name.removesuffix("-api")]) for name in programs if not name.endswith("-worker")
        )
        started = {name: Process(program, self.places) for name, program in programs.items()}
        self.services |= {process.name: process for process in started.values()}
        try:
            for name, process in started.items():
                self.report(name, "starting")
                process.start()
            for name, process in started.items():
                process.wait_ready()
                self.report(name, "ready")
        except BaseException:
            stop_all(started.values())
            raise
        return started

    # Running and stopping

    def wait(self) -> None:
        """Wait for ever and restart processes that end. Raises StackError when one keeps ending."""
        ends: dict[str, list[float]] = {}
        while True:
            for process in [*self.servers.values(), *self.services.values()]:
                if not process.running:
                    self._restart(process, ends.setdefault(process.name, []))
            time.sleep(0.3)

    def _restart(self, process: Process, ends: list[float]) -> None:
        now = time.monotonic()
        ends[:] = [*(at for at in ends if now - at < _MINUTE_S), now]
        if len(ends) > _MOST_RESTARTS:
            raise StackError(f"{process.name} keeps ending (code {process.exit_code}); see its log, {process.log}.")
        self.report(process.name, f"ended (code {process.exit_code}), restarted")
        process.start()

    def stop_services(self) -> None:
        """Stop the services that this object started."""
        stop_all(self.services.values())
        self.services = {}

    def stop(self) -> None:
        """Stop everything that this object started, services first."""
        self.stop_services()
        if self.servers:
            stop_all(self.servers.values())
            self.servers = {}
        if self._lock is not None:
            (self.places.run / "stack.json").unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> None:
        path = self.places.run / "lock"
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 20).decode() or "another"
            os.close(handle)
            raise AlreadyRunning(
                f"A stack is already up in {self.places.root} (process {holder}). Stop it, or set FMN_LOCAL and "
                "FMN_PORT_BASE to run a second one."
            ) from None
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        self._lock = handle

    def _clean_up_crashed_run(self) -> None:
        """Remove the files in /tmp of a run that was killed, by the ports that it had."""
        record = self.places.run / "stack.json"
        if record.exists():
            objects.remove_tmp_sockets(Ports(base=json.loads(record.read_text())["port_base"]))
            record.unlink()
