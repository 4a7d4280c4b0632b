"""Has a stranger's file read by a child process: what it is, what a page looks like."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from services.document.parsing.inspection import Inspection
from services.document.sandbox.errors import Busy, Interrupted
from services.document.sandbox.running import Running
from services.document.sandbox.server import ForkServer
from services.document.upload.spool import Spool

JOBS = "services.document.parsing.jobs"
MEMORY_BYTES = 300 * 1024 * 1024
CPU_SECONDS = 20
#: By the clock: long enough for CPU_SECONDS on a busy machine. A child that is stopped holds its place for as long.
WALL_SECONDS = 45.0
AT_ONCE = 2
WAIT_SECONDS = 10.0


class Sandbox:
    """The child processes of this process: `at_once` of them, whoever wants another waits. For several threads.

    jobs: the module whose table of jobs the children do. memory_bytes: beside what their libraries map.
    """

    def __init__(
        self,
        *,
        jobs: str = JOBS,
        memory_bytes: int = MEMORY_BYTES,
        cpu_seconds: int = CPU_SECONDS,
        wall_seconds: float = WALL_SECONDS,
        at_once: int = AT_ONCE,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._server = ForkServer(jobs=jobs, memory_bytes=memory_bytes, cpu_seconds=cpu_seconds)
        self._wall_seconds = wall_seconds
        self._places = threading.BoundedSemaphore(at_once)
        self._wait_seconds = wait_seconds

    def start(self) -> None:
        """Have the libraries loaded before the first file comes. Returns at once."""
        self._server.start()

    def confinement(self) -> str:
        """How children are confined: `seccomp`. Raises NotConfined."""
        return self._server.confinement()

    def inspect(self, spool: Spool, *, password: str | None = None, caller: int | None = None) -> Inspection:
        """What the file is. Raises UnsupportedType, UnsupportedPicture, Unreadable, and as `run`.

        password: what may open it, if it is a locked PDF.
        """
        try:
            return Inspection.of(self.run("inspect", spool, {"password": password}, caller=caller))
        except ValueError:
            raise Interrupted from None

    @contextmanager
    def unlock(self, spool: Spool, password: str, *, caller: int | None = None) -> Iterator[Running]:
        """A locked PDF as it is without its password, as a Readable. Raises Unreadable, and as `stream`."""
        with self.stream("unlock", spool, {"password": password}, caller=caller) as running:
            yield running

    def run(
        self, job: str, spool: Spool, arguments: Mapping[str, Any] | None = None, *, caller: int | None = None
    ) -> Mapping[str, Any]:
        """What a job without output gives back: plain values that a hostile file may have made up.

        caller: the descriptor of the caller's connection; the child is killed once that has hung up. Raises the job's
        refusal (one of `parsing.errors`), Busy, Interrupted, CallerGone, NotConfined.
        """
        with self._place(), self._job(job, spool, arguments, False, caller) as running:
            return _result_of(running)

    @contextmanager
    def stream(
        self, job: str, spool: Spool, arguments: Mapping[str, Any] | None = None, *, caller: int | None = None
    ) -> Iterator[Running]:
        """A job with output: a Readable whose last b"" says that it is whole. Raises as `run`, also while it is read.

        How much is read is the caller's to limit. When the body of the `with` ends, so does the child.
        """
        with self._place(), self._job(job, spool, arguments, True, caller) as running:
            yield running

    def close(self) -> None:
        self._server.close()

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(timeout=self._wait_seconds):
            raise Busy
        try:
            yield
        finally:
            self._places.release()

    @contextmanager
    def _job(
        self, job: str, spool: Spool, arguments: Mapping[str, Any] | None, with_output: bool, caller: int | None
    ) -> Iterator[Running]:
        running = Running(
            self._server,
            job=job,
            arguments=arguments or {},
            spool=spool,
            with_output=with_output,
            wall_seconds=self._wall_seconds,
            caller=caller,
        )
        try:
            yield running
        finally:
            running.close()


def _result_of(running: Running) -> Mapping[str, Any]:
    return running.finish()
