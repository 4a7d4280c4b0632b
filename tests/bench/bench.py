"""What every row is given: real servers and services of the run's own, and rounds that take turns."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from deploy.local.errors import PortTaken
from deploy.local.machine import require_free
from deploy.local.places import Ports, from_environment
from deploy.local.provision import Provision
from deploy.local.stack import Stack
from tests.system import System

T = TypeVar("T")
ROUNDS = 5


class Bench:
    """One run. Servers start when a row first asks for them and stop when the run ends, whatever happens.

    `smoke`: every row once and small, to see that it runs; its ratios mean nothing.
    """

    def __init__(self, *, smoke: bool, say: Callable[[str], None] = lambda _text: None) -> None:
        self.smoke = smoke
        self.rounds = 1 if smoke else ROUNDS
        self.say = say
        self._folder: Path | None = None
        self._stack: Stack | None = None
        self._system: System | None = None

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stack is not None:
            self._stack.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def sized(self, full: T, small: T) -> T:
        """`full` in a real run, `small` in a smoke run."""
        return small if self.smoke else full

    # Servers

    @property
    def folder(self) -> Path:
        """A folder of this run's own, on a disk; it goes when the run ends."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="fmn-bench-"))
        return self._folder

    @property
    def stack(self) -> Stack:
        """The run's servers."""
        if self._stack is None:
            self.say("starting the servers")
            stack = Stack(self.folder / "stack", _free_base(), packages=from_environment()[0] / "packages")
            stack.start_servers()
            self._stack = stack
        return self._stack

    @property
    def provided(self) -> Provision:
        """The names, accounts and secrets that the run's services have."""
        return self.system().provided

    def system(self) -> System:
        """All four services, running, and callers of every role: one set for the whole run."""
        if self._system is None:
            provided = self.stack.provision("bench")
            self.say("starting the services")
            self.stack.start_services(provided)
            self._system = System(self.stack, provided)
        return self._system

    # Rounds

    def interleaved(self, sides: Mapping[str, Callable[[], float]]) -> dict[str, float]:
        """Each side's median over the rounds, in whatever it returns (a rate, seconds).

        The sides take turns within a round, and every other round in the opposite order, so that neither has the
        warmer cache or the quieter minute. Warming up is the row's own affair.
        """
        found: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(self.rounds):
            names = list(sides) if number % 2 == 0 else list(reversed(sides))
            for name in names:
                found[name].append(sides[name]())
            self.say(f"round {number + 1}: " + ", ".join(f"{name} {found[name][-1]:.4g}" for name in sides))
        return {name: statistics.median(values) for name, values in found.items()}


def _free_base() -> int:
    """FMN_PORT_BASE when it is set, else a base from which every port of a stack is free just now."""
    if os.environ.get("FMN_PORT_BASE"):
        return from_environment()[1]
    for base in range(26_000, 60_000, 100):
        try:
            require_free(Ports(base=base).servers.items())
        except PortTaken:
            continue
        return base
    raise PortTaken("No hundred free ports for a stack: set FMN_PORT_BASE.")
