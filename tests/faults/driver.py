"""Many cases told at once by several people, a stream of events beside them, and chaos all the while."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from shared.clock import utc_now
from shared.events import SERVICES
from tests.faults.annual import Annual
from tests.faults.chaos import Chaos, Fault
from tests.faults.running import Running
from tests.faults.story import Case, Narrator, Words, draw
from tests.faults.stream import Said, Stream
from tests.races.inside import Inside
from tests.system import System

_STORIES_AT_ONCE = 5
_AFTER_CHAOS_SECONDS = 240
_QUIET_LOOKS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is told: families at least, events of the stream, rounds of chaos, and its seconds, roughly.

    annual: families whose annual review falls due meanwhile.
    """

    families: int
    annual: int
    events: int
    rounds: int
    seconds: float


CI = Size(families=30, annual=5, events=4_800, rounds=1, seconds=100)
FULL = Size(families=300, annual=25, events=48_000, rounds=10, seconds=1_000)


@dataclass(slots=True, kw_only=True)
class Told:
    """What happened: every case with its history, every fault, and the stream.

    caught_up: seconds from the end of the last fault until whatever had been said by then was applied, while families
      and stream went on.
    """

    seed: int
    begun: float
    words: Words
    cases: list[Case] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    caught_up: float = 0.0

    def shortest(self, complaints: Iterable[tuple[int | None, str]]) -> str:
        """What to read first: the seed; every complaint; and of the cases with one the story with the fewest calls, and
        the faults while it was told.
        """
        by_case: dict[int | None, list[str]] = {}
        for number, words in complaints:
            by_case.setdefault(number, []).append(words)
        lines = [f"SEED={self.seed} tells this again."]
        for number, said in by_case.items():
            ending = next((case.ending for case in self.cases if case.number == number), None)
            lines += ["", "of no one case:" if ending is None else f"of case {number} ({ending}):", *said]
        of_cases = [case for case in self.cases if case.number in by_case]
        case = min(of_cases, key=lambda one: len(one.calls), default=None)
        if case is not None:
            lines += ["", f"the shortest story of these, case {case.number} ({case.ending}), {case.id}:"]
            lines += [f"  {call.line(self.begun)}" for call in case.calls]
        lines += [f"  fault {fault.line(self.begun)}" for fault in self._while_it_lived(case)]
        return "\n".join(lines)

    def _while_it_lived(self, case: Case | None) -> list[Fault]:
        if case is None or not case.calls:
            return self.faults[-6:]
        first, last = case.calls[0].at, case.calls[-1].ended or time.monotonic()
        return [fault for fault in self.faults if fault.begun <= last and fault.ended >= first]


class Driver:
    """One run. `tell` blocks until every case has ended and chaos is over."""

    def __init__(self, system: System, running: Running, inside: Inside, seed: int, size: Size) -> None:
        self._system = system
        self._inside = inside
        self._size = size
        self._chaos = Chaos(running, seed, size.rounds)
        self._stream = Stream(system, size.events, size.seconds)
        self.told = Told(seed=seed, begun=time.monotonic(), words=Words(random.Random(seed)))
        self.told.faults = self._chaos.faults
        self._annual = Annual(system, running, inside, self.told.words, seed, size.annual)
        self._annual.faults = self._chaos.faults
        self._numbers = iter(range(1_000_000))
        self._guard = threading.Lock()

    def tell(self) -> Told:
        threads = [
            threading.Thread(target=self._tell_cases, name=f"stories-{n}", daemon=True) for n in range(_STORIES_AT_ONCE)
        ]
        for thread in threads:
            thread.start()
        self._stream.start()
        self._annual.start(self.told.cases)
        self._chaos.start()
        self._chaos.wait(self._size.seconds * 4)
        self.told.caught_up = self._catch_up()
        for thread in threads:
            thread.join(_AFTER_CHAOS_SECONDS)
            assert not thread.is_alive(), self.told.shortest([(None, "a thread isn't done")])
        self._annual.wait(_AFTER_CHAOS_SECONDS)
        self._stream.wait(_AFTER_CHAOS_SECONDS)
        self.told.said = self._stream.said
        return self.told

    def _catch_up(self) -> float:
        by_then = [replace(one, ids=list(one.ids)) for one in self._stream.said]
        while missing := _not_applied(self._inside, by_then):
            waited = time.monotonic() - self._chaos.faults[-1].ended
            assert waited < _AFTER_CHAOS_SECONDS, self.told.shortest([(None, words) for words in missing])
            time.sleep(0.1)
        return time.monotonic() - self._chaos.faults[-1].ended

    def _tell_cases(self) -> None:
        narrator = Narrator(self._system, self.told.words)
        while True:
            with self._guard:
                number = next(self._numbers)
            if self._chaos.over.is_set() and number >= self._size.families:
                return
            try:
                narrator.tell(draw(self.told.seed, number), self.told.cases)
            except AssertionError:
                # It stands in the case, and the judge says it with everything else.
                continue


def what_waits(inside: Inside, *, but: frozenset[str] = frozenset()) -> list[str]:
    """What is still to be done: messages in queues, outboxes and `deferred`, steps that are due. but: ids of events
    that are meant to wait.
    """
    waits = [f"{count} in {queue}" for queue, count in inside.management.queues(inside.names).items() if count]
    now = utc_now()
    for service in SERVICES:
        database = inside.mongo[f"{inside.names}_{service}"]
        for name in ("outbox", "deferred"):
            if rows := list(database[name].find({"_id": {"$nin": list(but)}}, {"body": 0})):
                waits.append(f"{len(rows)} in {service}.{name}: {_shown(rows[0])}")
        due = {"due": {"$lte": now + timedelta(minutes=5)}, "kind": {"$ne": "ask_again"}}
        if rows := list(database["steps"].find(due)):
            waits.append(f"{len(rows)} steps of {service}: {_shown(rows[0])}")
    return waits


def _shown(row: dict[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in row.items())


def drained(
    inside: Inside, within_seconds: float, *, but: frozenset[str] = frozenset(), said: Iterable[Said] = ()
) -> float:
    """Seconds until nothing waited any more, and each event of `said` was applied. Raises AssertionError with what
    still waits.

    The broker counts what lies in its queues five times a second, so it must have said three times that nothing does.
    """
    begun = quiet_since = time.monotonic()
    quiet = 0
    while quiet < _QUIET_LOOKS:
        now = time.monotonic()
        waits = [*what_waits(inside, but=but), *_not_applied(inside, said)]
        assert not waits or now - begun < within_seconds, f"not drained in {within_seconds} s: {'; '.join(waits)}"
        quiet = 0 if waits else quiet + 1
        quiet_since = now if quiet <= 1 else quiet_since
        time.sleep(0.25 if quiet else 0.05)
    return quiet_since - begun


def _not_applied(inside: Inside, said: Iterable[Said]) -> list[str]:
    ids = [event_id for one in said for event_id in one.ids]
    missing = []
    for service in ("consent", "notifier") if ids else ():
        keys = {"_id": {"$in": [f"{service}:{event_id}" for event_id in ids]}}
        if left := len(ids) - inside.mongo[f"{inside.names}_{service}"]["inbox"].count_documents(keys):
            missing.append(f"{left} of {len(ids)} events not applied in {service}")
    return missing
