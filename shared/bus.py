"""RabbitMQ, behind a publisher and a consumer. The one file that imports pika.

Topology and permissions come from the definitions file that the broker starts with; here they are only checked. The
account is in the URL, and its name is every message's `user_id`, which the broker verifies.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import pika  # type: ignore[import-untyped]
import pika.exceptions  # type: ignore[import-untyped]

from shared.deliveries import Delivery, Worker
from shared.logs import log, where

EXCHANGE = "fmn.events"
CONTENT_TYPE = "application/cloudevents+json"
_HEARTBEAT_SECONDS = 20
_SLOWEST_RECONNECT_SECONDS = 5.0

# refused: the broker closed the channel over one of the messages then in flight (permission, user id, no exchange).
# unknown: the channel or connection died, or time ran out: it may or may not be in a queue.
Outcome = Literal["ok", "nacked", "returned", "refused", "unknown"]


@dataclass(slots=True)
class _Batch:
    rows: Sequence[Mapping[str, Any]]
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    done: threading.Event = field(default_factory=threading.Event)
    given_up: bool = False

    def settle(self, event_id: str, outcome: Outcome) -> None:
        self.outcomes[event_id] = outcome
        if len(self.outcomes) == len(self.rows):
            self.done.set()


@dataclass(slots=True)
class _Sent:
    event_id: str
    batch: _Batch
    returned: bool = False


def _parameters(amqp_url: str, name: str) -> Any:
    parameters = pika.URLParameters(amqp_url)
    if parameters.heartbeat is None:
        parameters.heartbeat = _HEARTBEAT_SECONDS
    parameters.connection_attempts = 1
    parameters.client_properties = {"connection_name": name}
    return parameters


class Publisher:
    """One connection and thread per process, started by the first `publish` (so after any fork)."""

    def __init__(self, amqp_url: str, app_name: str) -> None:
        self._parameters = _parameters(amqp_url, f"{app_name} publisher")
        self._app_name = app_name
        self._user_id = str(self._parameters.credentials.username)
        self._starting = threading.Lock()
        self._pid: int | None = None
        self._reset()

    def _reset(self) -> None:
        self._waiting: deque[_Batch] = deque()
        # By delivery tag, in the order sent.
        self._in_flight: dict[int, _Sent] = {}
        self._next_tag = 1
        self._connection: Any = None
        self._channel: Any = None
        self._blocked = False
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def publish(self, rows: Sequence[Mapping[str, Any]], timeout: float) -> dict[str, Outcome]:
        """Publish outbox rows (`_id`, `key`, `body`) and wait for every confirm; each id's outcome.

        timeout: seconds, in which a connection that is away may also come back. Never raises for the broker.
        """
        if not rows:
            return {}
        batch = _Batch(list({str(row["_id"]): row for row in rows}.values()))
        self._start()
        self._waiting.append(batch)
        connection = self._connection
        if connection is not None:
            connection.ioloop.add_callback_threadsafe(self._send_waiting)
        batch.done.wait(timeout)
        batch.given_up = True
        settled = dict(batch.outcomes)
        return {str(row["_id"]): settled.get(str(row["_id"]), "unknown") for row in rows}

    def wait_connected(self, timeout: float) -> bool:
        """Whether there is a channel to publish on, waiting up to `timeout` seconds for one."""
        self._start()
        return self._ready.wait(timeout)

    def stop(self, timeout: float = 1.0) -> None:
        """Close. What isn't confirmed is unknown, and stays in the outbox."""
        self._stopping.set()
        connection, thread = self._connection, self._thread
        if connection is not None:
            connection.ioloop.add_callback_threadsafe(partial(self._close, connection))
        if thread is not None and self._pid == os.getpid():
            thread.join(timeout)

    def _start(self) -> None:
        with self._starting:
            if self._pid != os.getpid():
                self._reset()
                self._pid = os.getpid()
                self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
                self._thread.start()

    # Everything below runs on the publisher's thread.

    def _run(self) -> None:
        wait = 0.1
        while not self._stopping.is_set():
            try:
                self._talk()
            except Exception as error:  # noqa: BLE001 - the thread must outlive a bug: the outbox would only grow
                log.error("publisher.failed", **where(error))
            was_ready = self._ready.is_set()
            self._connection = None
            self._lose("unknown")
            self._ready.clear()
            wait = 0.1 if was_ready else min(wait * 2, _SLOWEST_RECONNECT_SECONDS)
            self._stopping.wait(random.uniform(wait / 2, wait))  # noqa: S311 - spreads load, guards nothing
        while self._waiting:
            batch = self._waiting.popleft()
            for row in batch.rows:
                batch.settle(str(row["_id"]), "unknown")

    def _talk(self) -> None:
        connection = pika.SelectConnection(
            self._parameters,
            on_open_callback=self._on_open,
            on_open_error_callback=self._on_gone,
            on_close_callback=self._on_gone,
        )
        self._connection = connection
        connection.ioloop.start()
        connection.ioloop.close()

    def _on_open(self, connection: Any) -> None:
        self._blocked = False
        connection.add_on_connection_blocked_callback(self._on_blocked)
        connection.add_on_connection_unblocked_callback(self._on_unblocked)
        connection.channel(on_open_callback=self._on_channel_open)

    def _on_gone(self, connection: Any, reason: Any) -> None:
        if not self._stopping.is_set():
            log.warning("publisher.connection_lost", reason=type(reason).__name__)
        connection.ioloop.stop()

    def _on_channel_open(self, channel: Any) -> None:
        channel.add_on_return_callback(self._on_return)
        channel.add_on_close_callback(self._on_channel_close)
        channel.confirm_delivery(self._on_confirm, callback=partial(self._on_channel_ready, channel))

    def _on_channel_ready(self, channel: Any, _frame: Any) -> None:
        # The broker counts a channel's messages from 1.
        self._channel, self._next_tag = channel, 1
        self._ready.set()
        self._send_waiting()

    def _on_channel_close(self, channel: Any, reason: Any) -> None:
        by_broker = isinstance(reason, pika.exceptions.ChannelClosedByBroker)
        self._lose("refused" if by_broker else "unknown")
        connection = channel.connection
        if by_broker and connection.is_open:
            log.warning("publisher.channel_closed", status=reason.reply_code)
            # Not ready until there is a channel again; the pause keeps a refused message from spinning.
            self._ready.clear()
            connection.ioloop.call_later(0.05, partial(self._reopen, connection))

    def _reopen(self, connection: Any) -> None:
        if connection.is_open:
            connection.channel(on_open_callback=self._on_channel_open)

    def _on_blocked(self, _connection: Any, _frame: Any) -> None:
        log.warning("publisher.blocked")
        self._blocked = True

    def _on_unblocked(self, _connection: Any, _frame: Any) -> None:
        self._blocked = False
        self._send_waiting()

    def _send_waiting(self) -> None:
        while self._waiting and self._channel is not None and self._channel.is_open and not self._blocked:
            batch = self._waiting.popleft()
            if not batch.given_up:
                self._send(batch)

    def _send(self, batch: _Batch) -> None:
        for row in batch.rows:
            event_id = str(row["_id"])
            self._in_flight[self._next_tag] = _Sent(event_id, batch)
            self._next_tag += 1
            self._channel.basic_publish(
                EXCHANGE,
                str(row["key"]),
                bytes(row["body"]),
                pika.BasicProperties(
                    content_type=CONTENT_TYPE,
                    delivery_mode=2,
                    message_id=event_id,
                    user_id=self._user_id,
                    app_id=self._app_name,
                ),
                mandatory=True,
            )

    def _on_return(self, _channel: Any, _method: Any, properties: Any, _body: bytes) -> None:
        # The return of an unroutable message comes before its ack, which then says nothing.
        for sent in self._in_flight.values():
            if sent.event_id == properties.message_id:
                sent.returned = True

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        tags = [method.delivery_tag]
        if method.multiple:
            tags = [tag for tag in self._in_flight if tag <= method.delivery_tag]
        acked = isinstance(method, pika.spec.Basic.Ack)
        for tag in tags:
            sent = self._in_flight.pop(tag, None)
            if sent is not None:
                taken: Outcome = "returned" if sent.returned else "ok"
                sent.batch.settle(sent.event_id, taken if acked else "nacked")

    def _lose(self, outcome: Outcome) -> None:
        self._channel = None
        lost, self._in_flight = self._in_flight, {}
        for sent in lost.values():
            sent.batch.settle(sent.event_id, outcome)

    @staticmethod
    def _close(connection: Any) -> None:
        if connection.is_open:
            connection.close()
        elif not connection.is_closing:
            connection.ioloop.stop()


@dataclass(slots=True)
class _Generation:
    """One channel's life (see `shared.deliveries.Channel`)."""

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
        except pika.exceptions.ConnectionWrongStateError:
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
        self._parameters = _parameters(amqp_url, f"{queue_name} consumer")
        self._queue = queue_name
        self._prefetch = prefetch
        self._on_consuming = on_consuming
        self._current: _Generation | None = None
        self._stopping = threading.Event()
        self._worker = Worker(handle)
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
            except (pika.exceptions.AMQPError, OSError) as error:
                log.warning("consumer.connection_lost", reason=type(error).__name__)
            lasted = time.monotonic() - started
            wait = 0.1 if lasted > 10 else min(wait * 2, _SLOWEST_RECONNECT_SECONDS)
            self._stopping.wait(random.uniform(wait / 2, wait))  # noqa: S311 - spreads load, guards nothing
        self._worker.no_more()

    def _consume(self) -> None:
        connection = pika.BlockingConnection(self._parameters)
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

    def _on_delivery(
        self, generation: _Generation, _channel: Any, method: Any, properties: Any, body: bytes
    ) -> None:
        count = (properties.headers or {}).get("x-delivery-count", 0)
        delivery = Delivery(
            body=body,
            user_id=properties.user_id,
            message_id=properties.message_id,
            delivery_count=count if isinstance(count, int) else 1,
            routing_key=method.routing_key,
        )
        self._worker.bring(generation, method.delivery_tag, delivery)
