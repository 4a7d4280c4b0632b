"""What a worker does from time to time, each on a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.clock import utc_now
from shared.ops.logs import log, where


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
