"""How long it may take: drained after a fault, the same message again after a kill, one message that kills."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from shared.events import SERVICES, case
from shared.messaging.unread import UnreadMessages
from tests.faults.chaos import LONG_STOP_SECONDS
from tests.faults.driver import drained
from tests.faults.running import Running
from tests.faults.stream import a_case, a_runtime, say
from tests.helpers import eventually
from tests.races.inside import Inside
from tests.system import System

DRAINED_SECONDS = 5
AGAIN_SECONDS = 5
# What was in hand when a worker died is tried one by one afterwards, some 15 ms each: what is bounded isn't its rate.
_EVENTS = 60
_SHORT_STOP_SECONDS = 5.0
# The cores are shared with whatever else the machine does, which only ever makes a try slower: the quickest says what
# the system needs. Every one must come to its end, in this time at most.
_TRIES = 3
_AT_MOST_SECONDS = 40

Fault = Callable[[Running, float], None]


def _all_workers(running: Running, _seconds: float) -> None:
    for service in SERVICES:
        running.kill(running.service(f"{service}-worker"))


def _kill(name: str) -> Fault:
    return lambda running, _seconds: running.kill(running.server(name))


def _stop(name: str) -> Fault:
    def stop(running: Running, seconds: float) -> None:
        with running.frozen(running.server(name)):
            time.sleep(seconds)

    return stop


FAULTS: dict[str, Fault] = {
    "every worker killed": _all_workers,
    "mongod killed": _kill("mongodb"),
    "RabbitMQ killed": _kill("rabbitmq"),
    "the object store killed": _kill("seaweedfs"),
    "mongod stopped": _stop("mongodb"),
    "RabbitMQ stopped": _stop("rabbitmq"),
    "the object store stopped": _stop("seaweedfs"),
}
_STOPS = [name for name in FAULTS if name.endswith("stopped")]


@pytest.mark.parametrize("fault", FAULTS)
def test_all_is_drained_within_5_s_of_a_fault(
    system: System, running: Running, inside: Inside, faults_seed: int, is_full: bool, fault: str
) -> None:
    """Counted from when the servers and services answer again. One server in turn, or all, are stopped for 20 s."""
    is_long = is_full or fault == _STOPS[faults_seed % len(_STOPS)]
    seconds = LONG_STOP_SECONDS if is_long else _SHORT_STOP_SECONDS
    _within(DRAINED_SECONDS, lambda: _seconds_to_drain(system, running, inside, fault, seconds))


def _within(bound: float, attempt: Callable[[], float]) -> None:
    """Until one attempt took no longer than that; AssertionError when none did."""
    took: list[float] = []
    while not took or took[-1] > bound:
        assert len(took) < _TRIES, f"over {bound} s each time: {took}"
        took.append(attempt())


def _seconds_to_drain(system: System, running: Running, inside: Inside, fault: str, seconds: float) -> float:
    about = [a_case(system) for _ in range(4)]
    case_id = inside.a_family()
    request = system.an_erasure(case_id)["id"]
    with a_runtime(system, "case") as kit:
        assert say(kit, about, _EVENTS)
    system.confirm(request)
    FAULTS[fault](running, seconds)
    running.wait_well()
    took = drained(inside, _AT_MOST_SECONDS, said=about)
    print(f"\n{fault}: drained {took:.1f} s after all answered again")
    for one in about:
        heard = inside.row("notifier", "projections", _id=one.case_id)
        assert heard is not None
        assert heard["people"] == one.people
    inside.completes(request, within_seconds=_AT_MOST_SECONDS)
    assert inside.left_of(case_id) == []
    return took


@pytest.mark.parametrize("service", ["consent", "notifier"])
def test_the_same_message_is_processed_within_5_s_of_a_kill_in_its_transaction(
    system: System, running: Running, inside: Inside, service: str
) -> None:
    _within(AGAIN_SECONDS, lambda: _seconds_to_come_again(system, running, inside, service))


def _seconds_to_come_again(system: System, running: Running, inside: Inside, service: str) -> float:
    about = a_case(system)
    eventually(lambda: inside.gate("notifier", about.case_id))
    hit = running.arm(f"{service}-worker", "in-inbox-transaction")
    event = inside.say("case", case.PEOPLE, about.case_id, people=[])
    eventually(hit.exists)
    killed = time.monotonic()
    eventually(lambda: inside.row(service, "inbox", _id=f"{service}:{event.id}"), within_seconds=_AT_MOST_SECONDS)
    took = time.monotonic() - killed
    print(f"\n{service}: the same message {took:.1f} s after the kill, the process's start included")
    running.wait_well()
    return took


def test_one_killing_message_among_a_thousand_parks_itself_only(
    system: System, running: Running, inside: Inside
) -> None:
    about = [a_case(system) for _ in range(5)]
    for one in about:
        eventually(lambda one=one: inside.gate("notifier", one.case_id))
    # Nothing is delivered before it is known which one kills.
    with a_runtime(system, "case") as kit, running.frozen(running.server("rabbitmq")):
        assert say(kit, about, 1_000)
        deadly = about[2].ids[len(about[2].ids) // 2]
        running.make_deadly(deadly)
    try:
        for service in ("consent", "notifier"):
            ids = [event_id for one in about for event_id in one.ids if event_id != deadly]
            keys = [f"{service}:{event_id}" for event_id in ids]
            count = inside.mongo[f"{inside.names}_{service}"]["inbox"].count_documents
            eventually(lambda count=count, keys=keys: count({"_id": {"$in": keys}}) == len(keys), within_seconds=60)
            # Parked before it was read, so under an id that is new.
            parked = eventually(lambda service=service: inside.rows(service, "parked"), within_seconds=60)
            runtime = inside.runtime(service)
            bodies = UnreadMessages(runtime.register, runtime.keys)
            told = [(row["reason"], json.loads(bodies.body_of(row["_id"]) or b"{}")["id"]) for row in parked]
            assert told == [("killed-its-process", deadly)], service
            assert inside.row(service, "inbox", _id=f"{service}:{deadly}") is None
        drained(inside, 10)
    finally:
        (running.inside / "deadly" / deadly).unlink()
        running.wait_well()
        for service in ("consent", "notifier"):
            inside.mongo[f"{inside.names}_{service}"]["parked"].delete_many({"reason": "killed-its-process"})
