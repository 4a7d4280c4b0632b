"""Messages that are no event of ours: nothing that they say lies in clear, and after thirty days nothing opens it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta

import bson
import pytest

from deploy.local import mongo
from deploy.local.stack import Stack
from shared.clock import utc_now
from shared.db.keys.errors import KeysAway
from shared.db.keys.tree import DoesNotOpen, open_tree
from shared.db.unit_of_work import Tx, outbox_row
from shared.errors import Permanent
from shared.events import Event, base, consent, write
from shared.ids import new_id
from shared.messaging.senders import MOST_BYTES
from shared.messaging.unread import KEPT, key_of
from tests.helpers import eventually
from tests.service.messaging_rig import Node, Rig, a_rig
from tests.service.test_messaging import a_delivery, an_event

NAME = "quillfeather"
HOSTILE = f"Please ring Mrs {NAME} of 11 High Street about her son".encode()


@pytest.fixture
def rig(stack: Stack) -> Iterator[Rig]:
    with a_rig(stack) as made:
        yield made


@pytest.fixture
def node(rig: Rig) -> Iterator[Node]:
    """The case service, which consumes."""
    opened = Node(rig.config, "case").open()
    consumer = opened.consumer()
    consumer.start()
    yield opened
    consumer.request_stop()
    consumer.join(10)
    opened.close()


def dumped(stack: Stack, node: Node) -> bytes:
    """All that a thief of the service's databases reads, index entries aside."""
    with mongo.admin_client(stack.places, stack.ports) as client:
        databases = [client[f"{node.config.names}_case{suffix}"] for suffix in ("", "_vault")]
        return b"".join(
            bson.encode(row)
            for database in databases
            for name in sorted(database.list_collection_names())
            for row in database[name].find()
        )


def parked_in(node: Node, count: int = 1) -> list[dict[str, object]]:
    rows = node.inbox.parked_messages.parked.rows
    eventually(lambda: rows.count_documents({}) == count)
    return list(rows.find({}, sort=[("_id", 1)]))


def park(node: Node, body: bytes) -> str:
    """The id under which a body that is no event is parked."""
    node.inbox.handle([a_delivery(node, body)])
    return str(node.inbox.parked_messages.parked.rows.find_one({}, sort=[("_id", -1)])["_id"])


def test_what_a_stranger_sends_lies_nowhere_in_clear(
    stack: Stack, rig: Rig, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a message with a name in its body, its headers, and its routing key of 255 bytes
    key = f"case.{NAME}.v1." + "x" * 240
    key = key[:255]
    properties = {"message_id": f"about {NAME}", "app_id": NAME, "type": NAME, "headers": {"about": NAME}}
    # When a stranger publishes it, and another under the key of one of our events
    rig.inject(key, HOSTILE, properties)
    rig.inject("case.state.v7", HOSTILE, properties)
    # Then what is kept in clear is what it was, not what it said
    rows = parked_in(node, 2)
    assert sorted(str(row["type"]) for row in rows) == ["case.state.v7", "unknown"]
    for row in rows:
        assert (row["reason"], row["size"], row["user_id"], row["body"]) == ("forged-sender", len(HOSTILE), None, None)
    assert rows[0]["digest"] == rows[1]["digest"]
    found = dumped(stack, node)
    assert NAME.encode() not in found
    assert b"forged-sender" in found
    said = capsys.readouterr()
    assert NAME not in said.out + said.err
    assert "message.parked" in said.out + said.err
    # And a person can still look into it
    assert [node.inbox.parked_messages.unread.body_of(str(row["_id"])) for row in rows] == [HOSTILE] * 2


def test_the_digest_falls_to_no_dictionary_with_the_right_answer(node: Node) -> None:
    import hashlib

    park(node, HOSTILE)
    [row] = parked_in(node)
    guesses = {getattr(hashlib, kind)(HOSTILE).hexdigest() for kind in ("md5", "sha1", "sha256", "sha512")}
    assert row["digest"] not in guesses


def test_a_body_of_100_mb_leaves_its_size_and_holds_up_nothing(rig: Rig, node: Node) -> None:
    sender = Node(rig.config, "consent").open()
    huge, after = an_event(new_id()), an_event(new_id(), consent.PREPARING)
    body = write(huge) + b" " * 100_000_000
    outcomes = sender.publisher.publish([{**outbox_row(huge, utc_now()), "body": body}], 120)
    assert set(outcomes.values()) == {"ok"}
    outcomes = sender.publisher.publish([outbox_row(after, utc_now())], 60)
    assert set(outcomes.values()) == {"ok"}
    eventually(lambda: after.id in node.seen(), within_seconds=60)
    [row] = parked_in(node)
    assert (row["reason"], row["size"], row["type"]) == ("too-large", len(body), "case.frozen.v1")
    assert node.inbox.parked_messages.unread.body_of(str(row["_id"])) is None
    assert huge.id not in node.seen()
    sender.close()


@pytest.mark.parametrize("more", [0, 1])
def test_the_largest_body_that_is_kept(node: Node, more: int) -> None:
    body = b"x" * (MOST_BYTES + more)
    id = park(node, body)
    assert node.inbox.parked_messages.unread.body_of(id) == (None if more else body)


def test_a_verified_event_lies_in_clear_and_is_bounded(node: Node) -> None:
    event = an_event(new_id(), consent.PREPARING)

    def refuse(tx: Tx, event: Event) -> None:
        raise Permanent("no-such-request")

    node.also = refuse
    node.inbox.handle([a_delivery(node, event)])
    [row] = parked_in(node)
    assert (row["body"], row["case_id"]) == (write(event), event.case)
    too_large = write(an_event(new_id(), consent.PREPARING)).ljust(MOST_BYTES + 1)
    assert node.inbox.parked_messages.unread.body_of(park(node, too_large)) is None


def test_after_thirty_days_nothing_opens_it(rig: Rig, node: Node) -> None:
    vault, messages = node.unit_of_work.vault, node.inbox.parked_messages
    id = park(node, HOSTILE)
    today = utc_now()
    name = key_of(today.date())
    # Given what a thief copied: the key's row, the sealed body, the tree's document
    key_row, tree = vault.keys.find_one({"_id": name}), vault.document()
    assert messages.forget_old(today + KEPT - timedelta(days=2)) == 0
    assert messages.unread.body_of(id) == HOSTILE
    # When its thirty days are over
    assert messages.forget_old(today + KEPT) == 1
    assert messages.forget_old(today + KEPT) == 0
    assert messages.unread.body_of(id) is None
    rotated = node.keys.rotation.run()
    assert rotated is not None
    assert [row["_id"] for row in rotated.doomed] == [name]
    # Then the root of today doesn't open the old tree, and the old row put back opens nothing
    with pytest.raises(DoesNotOpen):
        open_tree("case", tree, vault.roots.copies(str(vault.document()["root"]))[0])
    vault.keys.insert_one(key_row)
    with pytest.raises(KeysAway):
        messages.unread.body_of(id)
    # And what it was is still known
    [row] = parked_in(node)
    assert (row["reason"], row["size"]) == ("unreadable", len(HOSTILE))


def test_the_bodies_have_a_retention(node: Node) -> None:
    park(node, HOSTILE)
    indexes = node.unit_of_work.db["parked_bodies"].index_information()
    assert indexes["at_1"]["expireAfterSeconds"] == KEPT.total_seconds()


def an_unknown_version(**more: object) -> bytes:
    event = write(an_event(new_id(), consent.FROZEN)).replace(b"case.frozen.v1", b"case.frozen.v9")
    return event.replace(b'"data": {', f'"data": {{"about": "{NAME}", '.encode())


def test_an_unknown_version_waits_sealed_longer_than_thirty_days_and_is_handled_once_it_is_known(
    stack: Stack, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = an_unknown_version()
    node.inbox.handle([a_delivery(node, body)])
    deferred = node.inbox.parked_messages.deferred.rows
    [row] = deferred.find({})
    assert (row["type"], row["reason"]) == ("case.frozen.v9", "unknown-version")
    assert NAME.encode() not in dumped(stack, node)
    # It comes due, and is deferred again: sealed
    node.inbox.work_deferred(utc_now() + timedelta(hours=2))
    assert NAME.encode() not in dumped(stack, node)
    # Its key stays for as long as it waits
    assert node.inbox.parked_messages.forget_old(utc_now() + 2 * KEPT) == 0
    # Once this version knows it, it is handled
    newer = base.EventType(
        name="case.frozen", version=9, publishers=("consent",), fields=consent.FROZEN.fields, topic="frozen"
    )
    monkeypatch.setitem(base._TYPES, newer.type, newer)
    node.inbox._handlers[newer.type] = node._apply  # type: ignore[index]
    node.inbox.work_deferred(utc_now() + timedelta(hours=4))
    assert len(node.seen()) == 1
    assert deferred.count_documents({}) == 0
    assert node.inbox.parked_messages.forget_old(utc_now() + 2 * KEPT) == 1


def test_a_sealed_body_that_somebody_edited_stops_no_other(node: Node) -> None:
    bodies = [an_unknown_version(), an_unknown_version()]
    node.inbox.handle([a_delivery(node, body) for body in bodies])
    deferred = node.inbox.parked_messages.deferred.rows
    first, second = deferred.find({}, sort=[("_id", 1)])
    deferred.update_one({"_id": first["_id"]}, {"$set": {"body": second["body"]}})
    node.inbox.work_deferred(utc_now() + timedelta(hours=2))
    [parked] = parked_in(node)
    assert parked["_id"] == first["_id"]
    assert [row["_id"] for row in deferred.find({})] == [second["_id"]]


def test_processes_that_park_the_days_first_messages_at_once_lose_none(rig: Rig, node: Node) -> None:
    nodes = [Node(rig.config, "case").open() for _ in range(4)]
    threads = [
        threading.Thread(target=lambda node=each: [park(node, HOSTILE) for _ in range(5)])  # type: ignore[misc]
        for each in nodes
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = parked_in(node, 20)
    assert {node.inbox.parked_messages.unread.body_of(str(row["_id"])) for row in rows} == {HOSTILE}
    assert len({row["digest"] for row in rows}) == 1
    for each in nodes:
        each.close()


def test_what_an_older_version_kept_in_clear_is_sealed(stack: Stack, node: Node) -> None:
    messages, now = node.inbox.parked_messages, utc_now()
    parked = {"_id": new_id(), "case_id": None, "type": f"case.{NAME}.v1", "user_id": None, "body": HOSTILE}
    messages.parked.rows.insert_one({**parked, "reason": "unreadable", "at": now})
    waits = {"_id": new_id(), "case_id": None, "type": "case.frozen.v9", "user_id": f"{node.config.names}-consent"}
    later = {"at": now, "tried": now, "due": now + timedelta(hours=1), "attempts": 1, "marks": 0}
    messages.deferred.rows.insert_one({**waits, "body": an_unknown_version(), "reason": "unknown-version", **later})
    assert messages.seal_older() == 2
    assert messages.seal_older() == 0
    assert NAME.encode() not in dumped(stack, node)
    assert messages.unread.body_of(str(parked["_id"])) == HOSTILE
    node.inbox.work_deferred(now + timedelta(hours=2))
    assert messages.deferred.rows.find_one({"_id": waits["_id"]})["attempts"] == 2


def test_of_an_event_that_is_refused_nothing_is_kept_that_we_do_not_know(stack: Stack, node: Node) -> None:
    # Given an event of ours with words where we have no field, and one with words in place of a signature
    event = an_event(new_id())
    said = json.loads(write(event))
    said["comment"] = said["data"]["note"] = f"Mrs {NAME}"
    body = json.dumps(said).replace('"subject"', f'"subject": "{NAME}", "subject"', 1).encode()

    def refuses(tx: Tx, event: Event) -> None:
        raise Permanent("no-such-request")

    node.also = refuses
    grant = f"eyJhbGciOiJub25lIn0.{NAME}.{NAME}"
    data = {"case": event.case, "request": new_id(), "attempt": 1, "due_at": "2026-11-20T10:00:00+00:00"}
    signed = Event(
        id=new_id(),
        type=consent.STARTED,
        source="consent",
        time=utc_now(),
        seq=2,
        data={**data, "participants": [], "grant": grant},
    )
    # When both are refused
    node.inbox.handle([a_delivery(node, body)])
    node.inbox._outcomes.park(node.inbox._outcomes.message(a_delivery(node, signed), signed), "grant-malformed")
    # Then the first is kept as the event that it is, and the second sealed
    rows = {row["reason"]: row for row in parked_in(node, 2)}
    assert bytes(rows["no-such-request"]["body"]) == write(event)  # type: ignore[call-overload]
    assert (rows["grant-malformed"]["body"], rows["grant-malformed"]["case_id"]) == (None, None)
    assert NAME.encode() not in dumped(stack, node)
