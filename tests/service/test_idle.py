"""A service with nothing to do asks its database next to nothing, and what comes is taken up no later for it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.local import mongo
from deploy.local.stack import Stack
from shared.clock import utc_now
from shared.db.unit_of_work import Tx
from shared.errors import Temporary
from shared.events import Event, consent
from shared.ids import new_id
from shared.messaging import steps
from shared.messaging.steps import StepRow
from tests.helpers import eventually
from tests.service.messaging_rig import Node, Rig, a_rig, start_worker
from tests.service.test_messaging import a_delivery, a_step, an_event

_WATCHED_SECONDS = 8
_WRITING = ("insert", "update", "remove", "findAndModify")


@pytest.fixture
def rig(stack: Stack) -> Iterator[Rig]:
    with a_rig(stack) as made:
        yield made


@pytest.fixture
def node(rig: Rig) -> Iterator[Node]:
    opened = Node(rig.config, "case").open()
    yield opened
    opened.steps.request_stop()
    opened.close()


@pytest.fixture
def elsewhere(rig: Rig) -> Iterator[Node]:
    """The same service in another process, as its database sees it."""
    opened = Node(rig.config, "case").open()
    yield opened
    opened.close()


def test_an_idle_worker_asks_its_database_less_than_three_times_a_second(
    stack: Stack, rig: Rig, node: Node, tmp_path: Path
) -> None:
    worker = start_worker(rig.config, "case", "plain", tmp_path)
    eventually((tmp_path / "ready-case").exists)
    time.sleep(1)
    with mongo.admin_client(stack.places, stack.ports) as admin:
        database = admin[node.unit_of_work.db.name]
        database.command("profile", 2)
        time.sleep(_WATCHED_SECONDS)
        database.command("profile", 0)
        asked = list(database["system.profile"].find({"ns": {"$not": {"$regex": "system.profile"}}}))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    assert 0 < len(asked) < 3 * _WATCHED_SECONDS, [row["op"] for row in asked]
    # A write that finds nothing waits for the journal as any other does.
    assert sum(row["op"] in _WRITING or "findAndModify" in row["command"] for row in asked) <= 2


def test_a_step_that_another_process_adds_waits_for_no_poll(
    node: Node, elsewhere: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a worker that would look again in an hour
    monkeypatch.setattr(steps, "_POLL", timedelta(hours=1))
    ran: list[str] = []
    node.steps.serve({"note": lambda step: ran.append(step.key)})
    node.steps.start()
    a_step(node, "note", "its-own")
    eventually(lambda: ran == ["its-own"])
    # When another process, which runs none, adds one for now and one for soon
    a_step(elsewhere, "note", "now")
    a_step(elsewhere, "note", "soon", due=timedelta(seconds=1))
    eventually(lambda: ran == ["its-own", "now", "soon"])


def test_a_step_whose_nudge_is_lost_is_met_by_the_poll(
    node: Node, elsewhere: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.messaging.nudges.Nudges.give", lambda nudges: None)
    ran: list[str] = []
    node.steps.serve({"note": lambda step: ran.append(step.key)})
    node.steps.start()
    a_step(node, "note", "its-own")
    eventually(lambda: ran == ["its-own"])
    a_step(elsewhere, "note", "another")
    eventually(lambda: ran == ["its-own", "another"])


def test_a_worker_with_its_hands_full_tells_the_others(
    node: Node, elsewhere: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "_POLL", timedelta(hours=1))
    running: list[str] = []
    others: list[str] = []

    def long(step: StepRow) -> None:
        running.append(step.key)
        eventually(lambda: others)

    node.steps.serve({"note": long})
    node.steps.start()
    for number in range(4):
        a_step(node, "note", f"long-{number}")
    eventually(lambda: len(running) == 4)
    elsewhere.steps.serve({"note": lambda step: others.append(step.key)})
    elsewhere.steps.start()
    time.sleep(1)
    a_step(node, "note", "one-more")
    eventually(lambda: others == ["one-more"])
    elsewhere.steps.request_stop()


def test_a_message_that_another_process_deferred_is_met_when_it_is_due(node: Node, elsewhere: Node) -> None:
    def away(tx: Tx, event: Event) -> None:
        raise Temporary("away")

    # Given one that has looked, and found that nothing is deferred
    assert node.inbox.work_deferred(utc_now()) == 0
    elsewhere.also = away
    event = an_event(new_id(), consent.PREPARING)
    elsewhere.inbox.handle([a_delivery(elsewhere, event)])
    eventually(lambda: node.inbox.work_deferred(utc_now()) == 1)
    assert node.seen() == [event.id]


def test_a_message_deferred_here_is_tried_as_soon_as_it_is_due(node: Node) -> None:
    assert node.inbox.work_deferred(utc_now()) == 0

    def away(tx: Tx, event: Event) -> None:
        raise Temporary("away")

    node.also = away
    event = an_event(new_id(), consent.PREPARING)
    node.inbox.handle([a_delivery(node, event)])
    node.also = lambda tx, event: None
    kept = node.unit_of_work.db["deferred"].find_one({"_id": event.id})
    assert kept is not None
    assert node.inbox.work_deferred(kept["due"] - timedelta(milliseconds=1)) == 0
    assert node.inbox.work_deferred(kept["due"]) == 1
    assert node.seen() == [event.id]
