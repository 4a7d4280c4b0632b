"""Deliveries in hand: gathered in batches, handled one batch after another, acked when their handler returns."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.ops.logs import log, where

BATCH_SIZE = 50
_SLOWEST_RETRY_SECONDS = 2.0


class KeepUnacked(Exception):
    """The handler can't record anything now: keep the batch in hand, unacked, and give it again in a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message as it came. delivery_count: how often the broker took it back from a consumer before."""

    body: bytes
    user_id: str | None
    message_id: str | None
    delivery_count: int
    routing_key: str


class AmqpChannel(Protocol):
    """One channel's life: a delivery can be acked only on the channel that brought it."""

    alive: bool

    def ack(self, tag: int) -> None:
        """Ack this delivery and all before it, from any thread."""
        ...


# None only wakes the thread.
_Item = tuple[AmqpChannel, int, Delivery]


class BatchThread:
    """The thread that handles what the consumer's I/O thread brings.

    handle: gets up to 50 deliveries in order. When it returns, all of them are acked, so it must have recorded what
      became of each. When it raises (Hold, or by a bug anything else) they are kept in hand and given to it again.
    """

    def __init__(self, handle: Callable[[Sequence[Delivery]], None]) -> None:
        self._handle = handle
        self._arrived: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._no_more = threading.Event()
        self._finish_until = 0.0
        self.finished = threading.Event()
        self._thread = threading.Thread(target=self._run, name="consumer-worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def bring(self, channel: AmqpChannel, tag: int, delivery: Delivery) -> None:
        self._arrived.put((channel, tag, delivery))

    def request_stop(self, finish_within: float) -> None:
        """Finish what is in hand, if that takes no longer than these seconds, once `no_more` was said."""
        self._finish_until = time.monotonic() + finish_within
        self._stopping.set()
        self._arrived.put(None)

    def no_more(self) -> None:
        """Nothing will be brought any more."""
        self._no_more.set()

    def join(self, timeout: float) -> None:
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._is_finished():
            batch = self._gather()
            if batch:
                self._settle(batch)
        self.finished.set()

    def _is_finished(self) -> bool:
        if not self._stopping.is_set():
            return False
        return time.monotonic() >= self._finish_until or (self._no_more.is_set() and self._arrived.empty())

    def _gather(self) -> list[_Item]:
        """What has arrived, up to a batch, without waiting for more; of a channel that still lives."""
        batch: list[_Item | None] = []
        try:
            batch.append(self._arrived.get(timeout=0.05 if self._stopping.is_set() else None))
            while len(batch) < BATCH_SIZE:
                batch.append(self._arrived.get_nowait())
        except queue.Empty:
            pass
        return [item for item in batch if item is not None and item[0].alive]

    def _settle(self, batch: list[_Item]) -> None:
        channel, last_tag, _ = batch[-1]
        deliveries = [delivery for of, _, delivery in batch if of is channel]
        wait = 0.1
        # Held, not given back: every requeue would count against innocent messages.
        while channel.alive:
            try:
                self._handle(deliveries)
            except KeepUnacked as hold:
                log.warning("consumer.holding", count=len(deliveries), reason=type(hold.__cause__).__name__)
            except Exception as error:  # noqa: BLE001 - a bug here must not lose or ack the batch
                log.error("consumer.handler_failed", count=len(deliveries), **where(error))
            else:
                channel.ack(last_tag)
                return
            wait = min(wait * 2, _SLOWEST_RETRY_SECONDS)
            if self._stopping.wait(random.uniform(wait / 2, wait)):  # noqa: S311 - spreads load, guards nothing
                return
