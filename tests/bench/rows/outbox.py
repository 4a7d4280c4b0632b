"""Outbox → confirmed: rows that wait in the outbox's collection, beside messages that wait nowhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

from shared.clock import utc_now
from shared.db.unit_of_work import outbox_row
from shared.events import Event, erasure
from shared.ids import new_id
from tests.bench.bare_pika import publish_in_batches
from tests.bench.bench import Bench
from tests.bench.results import Result, at_least
from tests.service.messaging_rig import Node, Rig, a_rig

NAME = "outbox"
_MESSAGES = 5_000


def run(bench: Bench) -> list[Result]:
    """Both publish the same persistent messages to the same exchange, from which one quorum queue has them."""
    count = bench.sized(_MESSAGES, 400)
    with a_rig(bench.stack) as rig:
        node = Node(rig.config, "consent").open()
        assert node.publisher.wait_connected(10)
        _ours(rig, node, 400)
        rates = bench.interleaved({"ours": lambda: _ours(rig, node, count), "bare": lambda: _bare(rig, count)})
        node.close()
    figures = f"ours {rates['ours']:,.0f}, bare {rates['bare']:,.0f} messages/s"
    beside = "raw pika, confirms in batches of 100"
    return [Result("outbox → confirmed, pre-filled", beside, rates["ours"] / rates["bare"], at_least(0.5), figures)]


def _ours(rig: Rig, node: Node, count: int) -> float:
    """Rows that a crash left behind, swept: found, claimed, published, confirmed and deleted; rows a second."""
    now = utc_now()
    node.unit_of_work.outbox.insert_many([outbox_row(event, now) for event in _events(count)])
    started = time.perf_counter()
    node.outbox.sweep(now + timedelta(seconds=2))
    took = time.perf_counter() - started
    assert node.unit_of_work.outbox.count_documents({}) == 0
    _empty(rig)
    return count / took


def _bare(rig: Rig, count: int) -> float:
    now = utc_now()
    rows = [outbox_row(event, now) for event in _events(count)]
    messages = [(str(row["key"]), bytes(row["body"]), str(row["_id"])) for row in rows]
    took = publish_in_batches(rig.config.amqp["consent"], messages)
    _empty(rig)
    return count / took


def _events(count: int) -> Sequence[Event]:
    data = {"request": new_id(), "service": "consent", "attempt": 1, "receipt": f"{'a' * 40}.{'b' * 300}.{'c' * 86}"}
    return [
        Event(
            id=new_id(),
            type=erasure.RECEIPT,
            source="consent",
            time=utc_now(),
            seq=seq,
            data={"case": new_id(), **data},
        )
        for seq in range(count)
    ]


def _empty(rig: Rig) -> None:
    """Empty the queue again."""
    rig.management.call("DELETE", f"/api/queues/{rig.config.names}/fmn.consent/contents")
