"""A clock that was wrong puts nothing off once it is right again, and gives nothing to two at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from deploy.local.stack import Stack
from shared.clock import utc_now
from shared.db.unit_of_work import Tx
from shared.errors import Temporary
from shared.events import Event, consent, write
from shared.ids import new_id
from shared.messaging.steps import LEASE, StepRow
from tests.helpers import PATIENCE_SECONDS, eventually
from tests.service.messaging_rig import Node, a_node
from tests.service.test_messaging import a_delivery, a_step, an_event

_AN_HOUR = timedelta(hours=1)


@pytest.fixture
def node(stack: Stack) -> Iterator[Node]:
    with a_node(stack) as opened:
        yield opened


def an_hour_ahead() -> datetime:
    return utc_now() + _AN_HOUR


def test_a_step_that_failed_while_the_clock_was_ahead(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def fails(step: object) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise Temporary("away")

    node.steps.serve({"fails": fails})
    with monkeypatch.context() as clock:
        clock.setattr("shared.messaging.steps.utc_now", an_hour_ahead)
        node.steps.start()
        a_step(node, "fails", "one")
        a_step(node, "fails", "in-two-hours", due=2 * _AN_HOUR)
        eventually(
            lambda: node.unit_of_work.db["steps"].count_documents({"due": {"$gt": utc_now()}, "attempts": 1}) == 1
        )
    # What was put off comes at once, and what was to wait goes on waiting
    eventually(lambda: [row["key"] for row in node.unit_of_work.db["steps"].find()] == ["in-two-hours"])
    node.steps.request_stop()
    assert len(tries) == 2


def test_a_step_whose_lease_was_given_by_a_database_that_was_ahead_is_taken_by_an_idle_worker(node: Node) -> None:
    # Given a worker with nothing to do
    ran: list[str] = []
    node.steps.serve({"note": lambda step: ran.append(step.key)})
    node.steps.start()
    a_step(node, "note", "first")
    eventually(lambda: ran == ["first"])
    # When a step is there whose process died, and whose lease ends in an hour, without any nudge
    lease = {"lease": new_id(), "lease_until": utc_now() + _AN_HOUR}
    row = {"kind": "note", "key": "left", "case_id": None, "due": utc_now(), "attempts": 1, "wanted": 1, **lease}
    node.unit_of_work.db["steps"].insert_one({"_id": "note:left", **row})
    # Then it is run: no lease is that long
    eventually(lambda: ran == ["first", "left"])


def test_a_step_that_runs_while_the_clock_is_put_right_is_run_by_nobody_else(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, right_again = [0], threading.Event()

    def long(step: StepRow) -> None:
        begun[0] += 1
        assert right_again.wait(PATIENCE_SECONDS)
        # For longer than a lease is held, and renewed meanwhile
        time.sleep(LEASE.total_seconds() + 1)

    node.steps.serve({"long": long})
    with monkeypatch.context() as clock:
        clock.setattr("shared.messaging.steps.utc_now", lambda: utc_now() - _AN_HOUR)
        node.steps.start()
        a_step(node, "long", "one", due=-2 * _AN_HOUR)
        eventually(lambda: begun == [1])
    right_again.set()
    node.steps.wake()
    eventually(lambda: node.unit_of_work.db["steps"].count_documents({}) == 0)
    node.steps.request_stop()
    assert begun == [1]


def test_a_message_that_was_deferred_before_and_again_while_it_was_ahead(node: Node) -> None:
    def away(tx: Tx, event: Event) -> None:
        raise Temporary("away")

    node.also = away
    said = an_event(new_id(), consent.GIVEN)
    node.inbox.handle([a_delivery(node, said)])
    first = node.unit_of_work.db["deferred"].find_one()
    assert first is not None
    # Given that it is tried once more by a clock that is ahead
    assert node.inbox.work_deferred(an_hour_ahead()) == 1
    node.unit_of_work.db["deferred"].update_one(
        {}, {"$set": {"due": utc_now() + _AN_HOUR, "tried": utc_now() + _AN_HOUR}}
    )
    # When the clock is right again, and what was away is back
    node.also = lambda tx, event: None
    node.inbox.work_deferred(utc_now())
    assert node.seen() == [said.id]
    assert node.unit_of_work.db["deferred"].count_documents({}) == 0


def test_a_batch_with_some_that_came_before_applies_the_others_once(node: Node) -> None:
    case_id = new_id()
    before, new = ([an_event(case_id, consent.PREPARING) for _ in range(5)] for _ in range(2))
    node.inbox.handle([a_delivery(node, event) for event in before])
    # Given that those that came before would be refused now
    known = {event.id for event in before}

    def refuses(tx: Tx, event: Event) -> None:
        assert event.id not in known, "it was handled twice"

    node.also = refuses
    mixed = [event for pair in zip(before, new, strict=True) for event in pair]
    node.inbox.handle([a_delivery(node, write(event)) for event in [*mixed, *new]])
    assert node.seen() == [event.id for event in [*before, *new]]
    assert node.unit_of_work.db["parked"].count_documents({}) == 0
    assert node.unit_of_work.db["deferred"].count_documents({}) == 0
