"""Consuming with inbox and effect, beside a consumer that does nothing, and beside one transaction a message."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from shared.clock import utc_now
from shared.db import Disposal
from shared.db.unit_of_work import Tx, outbox_row
from shared.events import Event, consent
from shared.ids import new_id
from shared.known_consents import CASEWORK, CLEAR, KnownConsents, StandingConsent
from shared.messaging.bus import Consumer
from shared.messaging.deliveries import Delivery
from tests.bench import bare_pika
from tests.bench.bench import Bench
from tests.bench.results import Result, at_least
from tests.helpers import make_gates
from tests.service.messaging_rig import Node, Rig, a_rig

NAME = "consuming"
_MESSAGES = 5_000
_ONE_EACH = 300


class Effects(Node):
    """The document service, as far as a family's agreement goes: it is remembered, through the case's gate."""

    def open(self) -> Effects:
        self.projections = self.register.repository("projections", KnownConsents, clear=CLEAR, disposal=Disposal.ERASE)
        super().open()
        return self

    def _apply(self, tx: Tx, event: Event) -> None:
        tx.enter(event.case, frozen_too=True)
        standing = (StandingConsent(consent=event.case, purpose=CASEWORK),)
        self.projections.put(KnownConsents(case_id=event.case, standing=standing), tx=tx)

    def effects(self) -> int:
        return self.projections.rows.count_documents({})


def run(bench: Bench) -> list[Result]:
    """State events of as many cases, each with its gate: read, checked, let through the gate, written, remembered."""
    count, few = bench.sized(_MESSAGES, 300), bench.sized(_ONE_EACH, 50)
    with a_rig(bench.stack) as rig:
        sender, node = Node(rig.config, "consent").open(), Effects(rig.config, "document").open()
        _taken(rig, sender, node, 300)
        sides = {
            "ours": lambda: count / _taken(rig, sender, node, count),
            "bare": lambda: count / _bare(rig, sender, node, count),
            "one": lambda: few / _taken(rig, sender, node, few, one_by_one=True),
        }
        rates = bench.interleaved(sides)
        node.close()
        sender.close()
    ours, bare, one = rates["ours"], rates["bare"], rates["one"]
    work = "consume with inbox and effect"
    return [
        Result(
            work,
            "raw pika, no-op, prefetch 50, an ack each",
            ours / bare,
            at_least(0.4),
            f"ours {ours:,.0f}, bare {bare:,.0f} messages/s",
        ),
        Result(
            f"{work}, 50 a transaction",
            "the same, one transaction each",
            ours / one,
            at_least(12),
            f"ours {ours:,.0f}, one each {one:,.0f} messages/s",
        ),
    ]


def _fill(rig: Rig, sender: Node, node: Effects, count: int) -> None:
    """Put so many events into the queue, about cases that the consumer has heard of."""
    cases = [new_id() for _ in range(count)]
    make_gates(node.unit_of_work, cases)
    now = utc_now()
    standing = [{"consent": new_id(), "purpose": "casework"}]
    events = [
        Event(
            id=new_id(),
            type=consent.GIVEN,
            source="consent",
            time=now,
            seq=1,
            data={"case": case, "consent": standing[0]["consent"], "standing": standing},
        )
        for case in cases
    ]
    rows = [outbox_row(event, now) for event in events]
    for start in range(0, count, 500):
        outcomes = sender.publisher.publish(rows[start : start + 500], 30)
        assert set(outcomes.values()) == {"ok"}


def _taken(rig: Rig, sender: Node, node: Effects, count: int, *, one_by_one: bool = False) -> float:
    """Seconds from the subscription until the last message's effect is committed and it is acked."""
    _fill(rig, sender, node, count)
    done, before = threading.Event(), node.effects()
    handled = 0

    def handle(deliveries: Sequence[Delivery]) -> None:
        nonlocal handled
        for part in [[each] for each in deliveries] if one_by_one else [deliveries]:
            node.inbox.handle(part)
        handled += len(deliveries)
        if handled >= count:
            done.set()

    consumer = Consumer(node.amqp, "fmn.document", handle)
    started = time.perf_counter()
    consumer.start()
    assert done.wait(120)
    took = time.perf_counter() - started
    consumer.request_stop()
    consumer.join(5)
    assert node.effects() == before + count
    return took


def _bare(rig: Rig, sender: Node, node: Effects, count: int) -> float:
    _fill(rig, sender, node, count)
    return bare_pika.consume(node.amqp, "fmn.document", count)
