"""Servers and services of one test file's own, started again when they end, and judged from the servers themselves."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.places import from_environment
from deploy.local.provision import Provision
from deploy.local.stack import Stack
from shared.events import SERVICES
from tests.conftest import _free_base
from tests.helpers import eventually
from tests.races.inside import Inside, an_inside
from tests.system import System

WAITING = ("outbox", "deferred")


@dataclass(kw_only=True)
class OwnStack:
    """See the module."""

    stack: Stack
    provided: Provision
    system: System
    inside: Inside
    restarts: dict[str, int] = field(default_factory=dict)

    @property
    def left_over(self) -> list[str]:
        """What still waits anywhere: messages in outboxes and queues, deferred ones, and steps."""
        left = []
        for service in SERVICES:
            left += [f"{service} {store}" for store in WAITING if self.inside.rows(service, store)]
            steps = self.inside.rows(service, "steps", kind={"$ne": "ask_again"})
            left += [f"{service} step {step['kind']}" for step in steps]
        return left or [f"queue {name}: {count}" for name, count in self.inside.queued().items() if count]

    @property
    def in_hand(self) -> list[str]:
        """Messages in queues, those that were delivered and not acked included; up to five seconds old."""
        return [f"queue {name}: {n}" for name, n in self.inside.management.queues(self.inside.names).items() if n]

    @property
    def parked(self) -> list[str]:
        return [f"{s}: {row['reason']}" for s in SERVICES for row in self.inside.rows(s, "parked")]

    def seconds_until_drained(self, *, within_seconds: float) -> float:
        """How long it takes until nothing waits any more; fails with what still does."""
        return until(lambda: not self.left_over, within_seconds, lambda: self.left_over)


def until(check: Callable[[], object], within_seconds: float, say: Callable[[], object] = lambda: "") -> float:
    """Wait until it is so; how many seconds that took. Answers of servers that are still coming back don't count."""
    begun = time.monotonic()
    last: list[object] = [None]

    def is_so() -> object:
        last[0] = None
        try:
            return check()
        except Exception as error:  # noqa: BLE001 (a server that isn't back yet; the time-out says the last one)
            last[0] = error
            return None

    try:
        eventually(is_so, within_seconds=within_seconds)
    except AssertionError as error:
        raise AssertionError(f"not within {within_seconds} s: {last[0] or say()}") from error
    return time.monotonic() - begun


@contextmanager
def own_stack(
    prefix: str,
    *,
    folder: Path | None = None,
    rewire: Callable[[Stack, Provision], Mapping[str, str]] = lambda stack, provided: {},
    settings: Mapping[str, str] | None = None,
) -> Iterator[OwnStack]:
    """A stack with all services running, and stopped afterwards.

    folder: where; one of its own unless told, which is then removed. rewire: may change the services' secrets, and
      answers settings to start them with. settings: more of them.
    """
    where = folder or Path(tempfile.mkdtemp(prefix=f"fmn-{prefix}-"))
    stack = Stack(where, _free_base(), packages=from_environment()[0] / "packages")
    over = threading.Event()
    try:
        stack.start_servers()
        provided = stack.provision(prefix)
        stack.start_services(provided, extra_env={**rewire(stack, provided), **(settings or {})})
        system = System(stack, provided)
        with an_inside(system) as inside:
            own = OwnStack(stack=stack, provided=provided, system=system, inside=inside)
            keeping = threading.Thread(target=_keep, args=(own, over), name="keeping")
            keeping.start()
            try:
                yield own
            finally:
                over.set()
                keeping.join()
    finally:
        stack.stop()
        if folder is None:
            shutil.rmtree(where, ignore_errors=True)


def _keep(own: OwnStack, over: threading.Event) -> None:
    """Start again what ended, a little later each time, as a container's `restart: unless-stopped` does."""
    pauses: dict[str, float] = {}
    due: dict[str, float] = {}
    while not over.wait(0.1):
        for process in [*own.stack.servers.values(), *own.stack.services.values()]:
            now = time.monotonic()
            if process.running:
                continue
            if process.name not in due:
                pauses[process.name] = min(2.0, pauses.get(process.name, 0.1) * 2)
                due[process.name] = now + pauses[process.name]
            elif now >= due[process.name]:
                del due[process.name]
                own.restarts[process.name] = own.restarts.get(process.name, 0) + 1
                with suppress(StackError, OSError):
                    process.start()
