"""Messages over a real broker and a real database: nothing is lost, nothing is applied twice, nobody is believed
who isn't who they say."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.local.stack import Stack
from shared.clock import utc_now
from shared.db.unit_of_work import Tx, outbox_row
from shared.errors import Erased, Permanent, Temporary
from shared.events import Event, EventType, consent, write
from shared.ids import new_id
from shared.messaging.bus import Consumer, Outcome, Sent
from shared.messaging.deliveries import Delivery
from shared.messaging.steps import StepRow, Steps
from tests.helpers import PATIENCE_SECONDS, eventually
from tests.service.messaging_rig import Node, Rig, Wire, a_rig, port_of, start_worker, through


@pytest.fixture
def rig(stack: Stack) -> Iterator[Rig]:
    with a_rig(stack) as made:
        yield made


@pytest.fixture
def sender(rig: Rig) -> Iterator[Node]:
    """The consent service, which publishes."""
    node = Node(rig.config, "consent").open()
    yield node
    node.close()


@pytest.fixture
def receiver(rig: Rig) -> Iterator[Node]:
    """The case service, which consumes."""
    node = Node(rig.config, "case").open()
    yield node
    node.close()


@pytest.fixture
def consuming(receiver: Node) -> Iterator[Node]:
    consumer = receiver.consumer()
    consumer.start()
    yield receiver
    consumer.request_stop()
    consumer.join(PATIENCE_SECONDS)


def an_event(case_id: str, kind: EventType = consent.FROZEN, *, seq: int = 1) -> Event:
    more: dict[object, dict[str, object]] = {
        consent.FROZEN.type: {},
        consent.PREPARING.type: {"request": new_id(), "received_at": "2026-11-20T10:00:00+00:00"},
        consent.GIVEN.type: {"consent": new_id(), "standing": []},
    }
    data = {"case": case_id, **more[kind.type]}
    return Event(id=new_id(), type=kind, source="consent", time=utc_now(), seq=seq, data=data)


def send(node: Node, *events: Event) -> None:
    outcomes = node.publisher.publish([outbox_row(event, utc_now()) for event in events], PATIENCE_SECONDS)
    assert set(outcomes.values()) == {"ok"}


def a_delivery(node: Node, said: Event | bytes, count: int = 0) -> Delivery:
    body = said if isinstance(said, bytes) else write(said)
    return Delivery(
        body=body,
        user_id=f"{node.config.names}-consent",
        message_id=new_id(),
        delivery_count=count,
        routing_key="case.frozen.v1",
    )


# Going out


def test_what_was_committed_is_published_at_once_and_leaves_the_outbox(rig: Rig, sender: Node) -> None:
    events = sender.says(new_id(), times=20)
    eventually(lambda: sender.unit_of_work.outbox.count_documents({}) == 0)
    assert sorted(rig.queued("case")) == sorted(event.id for event in events)


def test_the_next_commit_does_not_wait_for_the_broker_to_confirm_the_last(
    rig: Rig, sender: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sender.publisher.wait_connected(10)
    confirmed = threading.Event()
    wait = Sent.wait

    def late(sent: Sent, timeout: float) -> dict[str, Outcome]:
        assert confirmed.wait(60)
        return wait(sent, timeout)

    monkeypatch.setattr(Sent, "wait", late)
    first, second = ([event.id for event in sender.says(new_id())] for _ in range(2))
    arrived: set[str] = set()
    eventually(lambda: arrived.update(rig.queued("case")) or {*first, *second} <= arrived)
    # Neither is settled before the broker has confirmed it
    assert sender.unit_of_work.outbox.count_documents({}) == 2
    confirmed.set()
    eventually(lambda: sender.unit_of_work.outbox.count_documents({}) == 0)


def test_an_unroutable_message_is_kept_and_backs_off(rig: Rig, receiver: Node) -> None:
    row = {**outbox_row(an_event(new_id()), utc_now()), "key": "case.created.v1"}
    rig.management.call("DELETE", f"/api/queues/{rig.config.names}/fmn.case")
    for service in ("document", "consent", "notifier"):
        rig.management.call("DELETE", f"/api/queues/{rig.config.names}/fmn.{service}")
    receiver.unit_of_work.outbox.insert_one(row)
    now = utc_now() + timedelta(seconds=2)
    assert receiver.outbox.sweep(now) == 1
    kept = receiver.unit_of_work.outbox.find_one({"_id": row["_id"]})
    assert kept is not None
    assert kept["attempts"] == 1
    assert kept["due"] > now
    assert receiver.publisher.publish([row], PATIENCE_SECONDS) == {row["_id"]: "returned"}


def test_a_row_the_broker_refuses_doesnt_stop_the_others_and_is_marked(rig: Rig, receiver: Node) -> None:
    bad = {**outbox_row(an_event(new_id()), utc_now()), "key": "consent.given.v1"}
    good = [{**outbox_row(an_event(new_id()), utc_now()), "key": "case.people.v1"} for _ in range(5)]
    receiver.unit_of_work.outbox.insert_many([*good[:2], bad, *good[2:]])
    now = utc_now()
    for turn in range(1, 10):
        receiver.outbox.sweep(now + turn * timedelta(minutes=6))
    # Copies are allowed (inboxes make them harmless), losses are not.
    assert set(rig.queued("document")) == {row["_id"] for row in good}
    [kept] = receiver.unit_of_work.outbox.find({})
    assert kept["_id"] == bad["_id"]
    assert kept["failing"] is True


def test_a_full_queue_fills_the_outbox_and_is_caught_up_later(rig: Rig, sender: Node) -> None:
    policy = f"/api/policies/{rig.config.names}/full"
    definition = {"max-length": 3, "overflow": "reject-publish"}
    full = {"pattern": "^fmn.case$", "apply-to": "queues", "priority": 10, "definition": definition}
    rig.management.call("PUT", policy, full)
    time.sleep(1)
    sender.unit_of_work.hand_over = lambda rows: None
    # A quorum queue refuses from the next batch on, once it is over its limit.
    events = sender.says(new_id(), times=20)
    sender.outbox.sweep(utc_now() + timedelta(seconds=2))
    time.sleep(1)
    events += sender.says(new_id(), times=20)
    sender.outbox.sweep(utc_now() + timedelta(seconds=2))
    kept = list(sender.unit_of_work.outbox.find({}))
    assert kept, "some were refused"
    assert {row["attempts"] for row in kept} == {1}
    rig.management.call("DELETE", policy)
    time.sleep(1)
    arrived = set(rig.queued("case"))
    sender.outbox.sweep(utc_now() + timedelta(minutes=6))
    assert sender.unit_of_work.outbox.count_documents({}) == 0
    assert arrived | set(rig.queued("case")) == {event.id for event in events}


def test_a_connection_cut_in_mid_batch_repeats_under_the_same_ids(rig: Rig, sender: Node) -> None:
    wire = Wire(port_of(sender.amqp))
    node = Node(rig.config, "consent", amqp=through(sender.amqp, wire)).open()
    case_id = new_id()
    assert node.publisher.wait_connected(PATIENCE_SECONDS)
    node.unit_of_work.hand_over = lambda rows: None
    events = node.says(case_id, times=150)
    wire.cut_after = 40_000
    node.outbox.sweep(utc_now() + timedelta(seconds=2))
    assert wire.cut_after is None, "the cut came in the middle"
    eventually(
        lambda: node.outbox.sweep(utc_now() + timedelta(seconds=4)) == 0 and not node.unit_of_work.outbox.find_one({})
    )
    assert set(rig.queued("case")) == {event.id for event in events}
    node.close()


def test_a_process_killed_between_commit_and_publish_loses_nothing(rig: Rig, sender: Node, tmp_path: Path) -> None:
    case_id = new_id()
    died = start_worker(rig.config, "consent", f"emit-and-die={case_id}", tmp_path)
    assert died.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    waiting = {row["_id"] for row in sender.unit_of_work.outbox.find({"case_id": case_id})}
    assert len(waiting) == 3
    assert rig.queued("case") == []
    sender.outbox.sweep(utc_now() + timedelta(seconds=2))
    assert set(rig.queued("case")) == waiting


# Coming in


def test_an_event_that_comes_twice_is_applied_once(sender: Node, consuming: Node) -> None:
    event, last = an_event(new_id(), consent.PREPARING), an_event(new_id(), consent.PREPARING)
    send(sender, event)
    send(sender, event)
    send(sender, event, last)
    eventually(lambda: last.id in consuming.seen())
    assert consuming.seen().count(event.id) == 1


def test_an_older_state_is_passed_by_and_an_erasure_event_is_not(sender: Node, consuming: Node) -> None:
    case_id = new_id()
    newer, older = an_event(case_id, seq=5), an_event(case_id, seq=4)
    saga = an_event(case_id, consent.PREPARING, seq=3)
    send(sender, newer, older, saga)
    eventually(lambda: saga.id in consuming.seen())
    assert consuming.seen() == [newer.id, saga.id]


def test_who_isnt_the_publisher_is_parked_and_never_handled(rig: Rig, sender: Node, consuming: Node) -> None:
    case_id = new_id()
    absent = write(an_event(case_id))
    rig.inject("consent.given.v1", absent, {"message_id": new_id()})
    eventually(lambda: consuming.inbox.parked_messages.parked.rows.count_documents({}) == 1)
    # A service that may use this key, in another's name: only the consent queue hears receipts.
    coordinator, forger = Node(rig.config, "consent").open(), Node(rig.config, "notifier").open()
    listener = coordinator.consumer()
    listener.start()
    row = {**outbox_row(an_event(case_id), utc_now()), "key": "erasure.receipt.v1.notifier"}
    assert forger.publisher.publish([row], PATIENCE_SECONDS) == {row["_id"]: "ok"}
    # The first message was for all; the second only the coordinator hears.
    for node, parked in ((consuming, 1), (coordinator, 2)):
        rows = node.inbox.parked_messages.parked.rows
        eventually(lambda rows=rows, parked=parked: rows.count_documents({}) == parked)  # type: ignore[misc]
        assert {row["reason"] for row in rows.find({})} == {"forged-sender"}
        assert node.seen() == []
    listener.request_stop()
    listener.join(PATIENCE_SECONDS)
    coordinator.close()
    forger.close()


def test_what_cant_be_handled_yet_is_handled_later_and_holds_up_nothing(sender: Node, consuming: Node) -> None:
    late, other = an_event(new_id(), consent.PREPARING), an_event(new_id(), consent.PREPARING)
    away = threading.Event()

    def also(tx: Tx, event: Event) -> None:
        if event.id == late.id and not away.is_set():
            raise Temporary("not-yet")

    consuming.also = also
    send(sender, late, other)
    eventually(lambda: consuming.seen() == [other.id])
    eventually(lambda: consuming.inbox.parked_messages.deferred.rows.find_one({"_id": late.id}))
    away.set()
    consuming.inbox.work_deferred(utc_now() + timedelta(hours=2))
    assert consuming.seen() == [other.id, late.id]
    assert consuming.inbox.parked_messages.deferred.rows.count_documents({}) == 0


def test_a_refused_message_is_parked_with_its_reason(sender: Node, consuming: Node) -> None:
    events = [an_event(new_id(), consent.PREPARING) for _ in range(3)]

    def also(tx: Tx, event: Event) -> None:
        if event.id == events[1].id:
            raise Permanent("no-such-request")

    consuming.also = also
    send(sender, *events)
    eventually(
        lambda: consuming.inbox.parked_messages.parked.rows.find_one({"_id": events[1].id, "reason": "no-such-request"})
    )
    eventually(lambda: consuming.seen() == [events[0].id, events[2].id])


def test_a_handler_with_a_bug_is_tried_again_and_then_parked(sender: Node, receiver: Node) -> None:
    given, freeze = an_event(new_id(), consent.GIVEN), an_event(new_id())
    receiver.also = lambda tx, event: [][1]
    for each in (given, freeze):
        receiver.inbox.handle([a_delivery(receiver, each)])
    for hours in range(2, 40, 2):
        receiver.inbox.work_deferred(utc_now() + timedelta(hours=hours))
    assert [row["reason"] for row in receiver.inbox.parked_messages.parked.rows.find({"_id": given.id})] == [
        "failed.indexerror"
    ]
    # Neither an erasure nor a freeze is ever given up.
    assert [row["_id"] for row in receiver.inbox.parked_messages.deferred.rows.find({})] == [freeze.id]
    assert receiver.seen() == []


def test_a_late_message_brings_nobody_back_and_the_saga_goes_on(sender: Node, consuming: Node) -> None:
    case_id = new_id()
    consuming.unit_of_work.run(lambda tx: tx.gates.close(tx.session, case_id))
    late, saga = an_event(case_id), an_event(case_id, consent.PREPARING)
    send(sender, late, saga)
    eventually(lambda: saga.id in consuming.seen())
    assert consuming.seen() == [saga.id]
    assert not consuming.register.vault.has_key(case_id)


def test_a_handler_that_finds_the_case_erased_settles_the_message(sender: Node, consuming: Node) -> None:
    event = an_event(new_id())

    def also(tx: Tx, event: Event) -> None:
        raise Erased("gone")

    consuming.also = also
    send(sender, event)
    eventually(lambda: consuming.unit_of_work.db["inbox"].find_one({"_id": f"case:{event.id}"}))
    assert consuming.seen() == []
    assert consuming.inbox.parked_messages.parked.rows.count_documents({}) == 0


def test_unknown_versions_are_parked_but_never_one_that_freezes_or_erases(sender: Node, receiver: Node) -> None:
    for kind, version in ((consent.FROZEN, "case.frozen.v9"), (consent.PREPARING, "erasure.preparing.v9")):
        body = write(an_event(new_id(), kind)).replace(kind.type.encode(), version.encode())
        receiver.inbox.handle([a_delivery(receiver, body)])
    body = write(an_event(new_id())).replace(b"case.frozen.v1", b"case.moved.v1")
    receiver.inbox.handle([a_delivery(receiver, body)])
    assert {row["type"] for row in receiver.inbox.parked_messages.deferred.rows.find({})} == {
        "case.frozen.v9",
        "erasure.preparing.v9",
    }
    [parked] = receiver.inbox.parked_messages.parked.rows.find({})
    # No event of ours has that name in any version, so it stands nowhere in clear.
    assert (parked["type"], parked["reason"]) == ("case.frozen.v1", "unknown-version")


def test_while_the_database_is_away_messages_are_held_in_hand(rig: Rig, sender: Node, receiver: Node) -> None:
    wire = Wire(port_of(rig.config.mongo["case"]))
    node = Node(rig.config, "case", mongo=through(rig.config.mongo["case"], wire)).open()
    consumer = node.consumer()
    consumer.start()
    before, after = an_event(new_id(), consent.PREPARING), an_event(new_id(), consent.PREPARING)
    send(sender, before)
    eventually(lambda: before.id in receiver.seen())
    wire.cut()
    send(sender, after)
    time.sleep(3)
    assert after.id not in receiver.seen()
    wire.up = True
    eventually(lambda: after.id in receiver.seen())
    assert receiver.seen().count(after.id) == 1
    assert receiver.unit_of_work.db["trying"].count_documents({}) == 0
    consumer.request_stop()
    consumer.join(PATIENCE_SECONDS)
    node.close()


def test_a_consumer_whose_connection_is_cut_comes_back(rig: Rig, sender: Node, receiver: Node) -> None:
    wire = Wire(port_of(receiver.amqp))
    consumer = receiver.consumer(through(receiver.amqp, wire))
    consumer.start()
    first, second = an_event(new_id(), consent.PREPARING), an_event(new_id(), consent.PREPARING)
    receiver.also = lambda tx, event: time.sleep(0.3)
    send(sender, first)
    time.sleep(0.2)
    wire.cut()
    wire.up = True
    send(sender, second)
    eventually(lambda: set(receiver.seen()) == {first.id, second.id})
    assert len(receiver.seen()) == 2
    consumer.request_stop()
    consumer.join(PATIENCE_SECONDS)


def test_a_consumer_outlives_what_nobody_thought_of(rig: Rig, sender: Node, receiver: Node) -> None:
    begun: list[int] = []

    def consuming() -> None:
        begun.append(len(begun))
        if len(begun) == 1:
            raise LookupError("a bug in the thread that talks to the broker")

    consumer = Consumer(receiver.amqp, f"fmn.{receiver.service}", receiver.inbox.handle, on_consuming=consuming)
    consumer.start()
    try:
        event = an_event(new_id(), consent.PREPARING)
        send(sender, event)
        eventually(lambda: receiver.seen() == [event.id])
        assert len(begun) == 2
    finally:
        consumer.request_stop()
        consumer.join(PATIENCE_SECONDS)


# Processes


def live_until_killed_or_parked(worker: subprocess.Popen[bytes], receiver: Node) -> None:
    def parked_and_done() -> bool:
        return bool(receiver.inbox.parked_messages.parked.rows.find_one({})) and len(receiver.seen()) == 10

    eventually(lambda: worker.poll() is not None or parked_and_done())
    if worker.poll() is None:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE_SECONDS) == 0


def test_a_message_that_kills_its_process_parks_itself_only(
    rig: Rig, sender: Node, receiver: Node, tmp_path: Path
) -> None:
    killer = an_event(new_id(), consent.PREPARING)
    innocent = [an_event(new_id(), consent.PREPARING) for _ in range(10)]
    send(sender, *innocent[:5], killer, *innocent[5:])
    lives = 0
    while not receiver.inbox.parked_messages.parked.rows.find_one({}):
        lives += 1
        live_until_killed_or_parked(start_worker(rig.config, "case", f"killed-by={killer.case}", tmp_path), receiver)
    [parked] = receiver.inbox.parked_messages.parked.rows.find({})
    assert parked["reason"] == "killed-its-process"
    # It was never read, so it is sealed.
    assert receiver.inbox.parked_messages.unread.body_of(parked["_id"]) == write(killer)
    # In a batch, then twice alone after its mark; the third mark parks it before it runs.
    assert lives == 4
    assert sorted(receiver.seen()) == sorted(event.id for event in innocent)
    assert receiver.unit_of_work.db["trying"].count_documents({}) == 0


def test_sigterm_finishes_what_is_in_hand_within_five_seconds(
    rig: Rig, sender: Node, receiver: Node, tmp_path: Path
) -> None:
    worker = start_worker(rig.config, "case", "slow", tmp_path)
    eventually((tmp_path / "ready-case").exists)
    events = [an_event(new_id(), consent.PREPARING) for _ in range(8)]
    send(sender, *events)
    time.sleep(0.5)
    asked = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE_SECONDS) == 0
    # Promised: a process that is asked to stop has finished what it had in hand within five seconds.
    assert time.monotonic() - asked < 5
    eventually(lambda: len(receiver.seen()) + len(rig.queued("case")) >= 8)
    assert sorted(receiver.seen()) == sorted(event.id for event in events)


# Steps


def a_step(node: Node, kind: str, key: str, *, due: timedelta | None = None) -> None:
    when = None if due is None else utc_now() + due
    node.unit_of_work.run(lambda tx: node.steps.add(tx, kind, key, None, when))


def test_a_step_runs_once_its_transaction_is_committed_and_not_otherwise(receiver: Node) -> None:
    ran: list[str] = []
    receiver.steps.serve({"note": lambda step: ran.append(step.key)})
    receiver.steps.start()
    a_step(receiver, "note", "kept")

    def fails(tx: Tx) -> None:
        receiver.steps.add(tx, "note", "dropped", None)
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        receiver.unit_of_work.run(fails)
    eventually(lambda: receiver.unit_of_work.db["steps"].count_documents({}) == 0)
    assert ran == ["kept"]
    receiver.steps.request_stop()


def test_a_step_asked_for_while_it_runs_is_run_again(receiver: Node) -> None:
    ran: list[int] = []
    go = threading.Event()

    def slow(step: StepRow) -> None:
        ran.append(step.attempts)
        go.wait(PATIENCE_SECONDS)

    receiver.steps.serve({"slow": slow})
    receiver.steps.start()
    a_step(receiver, "slow", "one")
    eventually(lambda: len(ran) == 1)
    a_step(receiver, "slow", "one")
    time.sleep(0.6)
    assert len(ran) == 1, "never two at once"
    go.set()
    eventually(lambda: receiver.unit_of_work.db["steps"].count_documents({}) == 0)
    assert len(ran) == 2
    receiver.steps.request_stop()


def test_a_step_that_wants_to_come_again_and_one_that_fails_are_run_again(receiver: Node) -> None:
    ran: list[str] = []

    def later_once(step: StepRow) -> object:
        ran.append(step.key)
        return utc_now() + timedelta(seconds=0.5) if len(ran) == 1 else None

    def fails_once(step: StepRow) -> None:
        if step.attempts == 1:
            raise Temporary("away")

    receiver.steps.serve({"later": later_once, "fails": fails_once})  # type: ignore[dict-item]
    receiver.steps.start()
    a_step(receiver, "later", "one")
    a_step(receiver, "fails", "two")
    a_step(receiver, "later", "much", due=timedelta(hours=1))
    eventually(lambda: receiver.unit_of_work.db["steps"].count_documents({}) == 1)
    assert ran == ["one", "one"]
    receiver.steps.request_stop()


def test_two_runners_never_run_a_step_at_once_however_long_it_takes(receiver: Node, rig: Rig) -> None:
    running: list[float] = []
    other = Node(rig.config, "case").open()

    def long(step: StepRow) -> None:
        running.append(time.monotonic())
        time.sleep(7)

    runners: list[Steps] = [receiver.steps, other.steps]
    for steps in runners:
        steps.serve({"long": long})
        steps.start()
    a_step(receiver, "long", "one")
    eventually(lambda: receiver.unit_of_work.db["steps"].count_documents({}) == 0)
    assert len(running) == 1
    for steps in runners:
        steps.request_stop()
    other.close()


def test_a_step_whose_process_died_is_run_by_another_within_six_seconds(
    rig: Rig, receiver: Node, tmp_path: Path
) -> None:
    ready = tmp_path / "ready-case"
    first = start_worker(rig.config, "case", "plain", tmp_path)
    eventually(ready.exists)
    ready.unlink()
    second = start_worker(rig.config, "case", "plain", tmp_path)
    eventually(ready.exists)
    a_step(receiver, "die_once", "key")
    eventually(lambda: first.poll() is not None or second.poll() is not None)
    assert -signal.SIGKILL in (first.poll(), second.poll())
    died = time.monotonic()
    eventually(lambda: receiver.seen() == ["key"])
    # Promised: what a process died over is run by another within six seconds, a lease of five and one to notice.
    assert time.monotonic() - died < 6.5
    for worker in (first, second):
        if worker.poll() is None:
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(PATIENCE_SECONDS) == 0
