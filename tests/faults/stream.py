"""A stream of real events beside the families' own: committed to the case service's outbox by its own unit of work.

The real worker sweeps, publishes and confirms them; the real consumers apply them. Each says who the people of a case
are, so that the state of every consumer at the end must be the last one said.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pymongo.errors import PyMongoError

from shared.db.unit_of_work import Tx
from shared.events import case as events
from shared.service.runtime import Runtime
from tests.faults.client import Call, Client
from tests.system import System, open_with

_CASES = 8
_BATCH = 48
_ROLES = ("parent", "carer", "other")


@dataclass(slots=True, kw_only=True)
class Said:
    """What was said of one case: ids of its events, and the people in the last one."""

    case_id: str
    person: str
    ids: list[str] = field(default_factory=list)
    people: list[dict[str, Any]] = field(default_factory=list)


class Stream:
    """Says so many events, spread over so many seconds; `wait` until the last is committed."""

    def __init__(self, system: System, events_wanted: int, seconds: float) -> None:
        self._system = system
        self._wanted = events_wanted
        self._pause = seconds / max(1, events_wanted / _BATCH)
        self.said: list[Said] = []
        self.failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait(self, within_seconds: float) -> None:
        self._thread.join(within_seconds)
        assert not self._thread.is_alive(), "the stream of events isn't over"
        if self.failed is not None:
            raise self.failed

    def _run(self) -> None:
        try:
            with a_runtime(self._system, "case") as runtime:
                self.said = [self._a_case() for _ in range(_CASES)]
                self._say_all(runtime)
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            self.failed = error

    def _a_case(self) -> Said:
        return a_case(self._system)

    def _say_all(self, runtime: Runtime) -> None:
        due = time.monotonic()
        number = 0
        while number < self._wanted:
            if say(runtime, self.said, _BATCH, number):
                number += _BATCH
            due += self._pause
            time.sleep(max(0.0, due - time.monotonic()))


def say(runtime: Runtime, about: list[Said], count: int, number: int = 0) -> bool:
    """One transaction with so many events, in turns about each case; whether it is known to be committed."""
    said: list[tuple[Said, str, list[dict[str, Any]]]] = []

    def act(tx: Tx) -> None:
        said.clear()
        for index in range(count):
            one = about[index % len(about)]
            # Nobody that a letter could go to, and nobody young, whose rights would be reckoned anew at each event by
            # asking the case service: what is tested is the state.
            role = _ROLES[(number + index) % len(_ROLES)]
            people = [{"person": one.person, "role": role, "post": False, "email": False}]
            event = tx.emit(events.PEOPLE, {"case": one.case_id, "people": people})
            said.append((one, event.id, people))

    try:
        runtime.unit_of_work.run(act)
    except PyMongoError:
        # Perhaps it was committed; whatever is said next is newer.
        return False
    for one, event_id, people in said:
        one.ids.append(event_id)
        one.people = people
    return True


def a_case(system: System) -> Said:
    """A shell, about which events can be said."""
    client, calls = Client(system, "caseworker", sub="worker-stream"), list[Call]()
    case_id = client.made(calls, "/cases", {"channel": "phone"})
    return Said(case_id=case_id, person=case_id)


@contextmanager
def a_runtime(system: System, service: str) -> Iterator[Runtime]:
    """What every process of this service has, in this one."""
    runtime = open_with(system.provided, service, "stream").runtime
    try:
        yield runtime
    finally:
        runtime.unit_of_work.client.close()
