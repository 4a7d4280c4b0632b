"""The consumer: one queue, whose deliveries go to a worker thread and are acked from there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from shared.messaging.bus import amqp
from shared.messaging.deliveries import BatchThread, Delivery
from shared.ops.logs import log, where

_WELL_SECONDS = 10.0


@dataclass(slots=True)
class _Generation:
    """One channel's life (see `shared.messaging.deliveries.Channel`)."""

    connection: Any
    channel: Any
    alive: bool = True

    def die(self) -> None:
        self.alive = False

    def wake(self) -> None:
        """Make the I/O thread look up, from any thread."""
        self._call(lambda: None)

    def ack(self, tag: int) -> None:
        """Ack this delivery and all before it, from any thread; a dead channel's come again from the broker."""
        self._call(partial(self._ack, tag))

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            self.connection.add_callback_threadsafe(callback)
        except amqp.ConnectionGone:
            self.die()

    def _ack(self, tag: int) -> None:
        if self.channel.is_open:
            self.channel.basic_ack(tag, multiple=True)


class Consumer:
    """One durable queue, manual acks: an I/O thread that talks to the broker, and a `Worker` that calls `handle`."""

    def __init__(
        self,
        amqp_url: str,
        queue_name: str,
        handle: Callable[[Sequence[Delivery]], None],
        *,
        prefetch: int = 200,
        on_consuming: Callable[[], None] = lambda: None,
    ) -> None:
        self._parameters = amqp.parameters(amqp_url, f"{queue_name} consumer")
        self._queue = queue_name
        self._prefetch = prefetch
        self._on_consuming = on_consuming
        self._current: _Generation | None = None
        self._stopping = threading.Event()
        self._worker = BatchThread(handle)
        self._thread = threading.Thread(target=self._talk, name="consumer-io", daemon=True)

    def start(self) -> None:
        self._worker.start()
        self._thread.start()

    def request_stop(self, finish_within: float = 3.0) -> None:
        """Take no more; finish what is in hand if that takes no longer than these seconds."""
        self._worker.request_stop(finish_within)
        self._stopping.set()
        generation = self._current
        if generation is not None:
            generation.wake()

    def join(self, timeout: float) -> None:
        """Wait for both threads, at most these seconds; what isn't acked by then comes again from the broker."""
        deadline = time.monotonic() + timeout
        self._worker.join(timeout)
        if self._thread.is_alive():
            self._thread.join(max(0.0, deadline - time.monotonic()))

    # The I/O thread

    def _talk(self) -> None:
        wait = 0.1
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                self._consume()
            except amqp.BrokerError as error:
                log.warning("consumer.connection_lost", reason=type(error).__name__)
            except Exception as error:  # noqa: BLE001 - the thread must outlive a bug: the queue would only grow
                log.error("consumer.failed", **where(error))
            wait, pause = amqp.next_wait(wait, was_well=time.monotonic() - started > _WELL_SECONDS)
            self._stopping.wait(pause)
        self._worker.no_more()

    def _consume(self) -> None:
        connection = amqp.connect(self._parameters)
        channel = connection.channel()
        generation = _Generation(connection, channel)
        self._current = generation
        try:
            channel.basic_qos(prefetch_count=self._prefetch)
            channel.queue_declare(self._queue, passive=True)
            channel.add_on_cancel_callback(lambda _frame: generation.die())
            tag = channel.basic_consume(self._queue, partial(self._on_delivery, generation))
            self._on_consuming()
            while generation.alive and channel.is_open and not self._stopping.is_set():
                connection.process_data_events(time_limit=1)
            if generation.alive and channel.is_open:
                channel.basic_cancel(tag)
                self._worker.no_more()
                while channel.is_open and not self._worker.finished.wait(0.02):
                    connection.process_data_events(time_limit=0)
                connection.process_data_events(time_limit=0)
        finally:
            generation.die()
            self._current = None
            if connection.is_open:
                connection.close()

    def _on_delivery(self, generation: _Generation, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        count = (properties.headers or {}).get("x-delivery-count", 0)
        delivery = Delivery(
            body=body,
            user_id=properties.user_id,
            message_id=properties.message_id,
            # From RabbitMQ 4.3 on what was taken back from a consumer that was silent isn't counted, but still flagged.
            delivery_count=max(count if isinstance(count, int) else 1, int(method.redelivered)),
            routing_key=method.routing_key,
        )
        self._worker.bring(generation, method.delivery_tag, delivery)
