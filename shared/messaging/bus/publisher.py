"""The publisher: batches go out, and each message's confirm comes back."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import Any, Literal

from shared.messaging.bus import amqp
from shared.ops.logs import log, where

# refused: the broker closed the channel over one of the messages then in flight (permission, user id, no exchange).
# unknown: the channel or connection died, or time ran out: it may or may not be in a queue.
Outcome = Literal["ok", "nacked", "returned", "refused", "unknown"]

_SILENT_SECONDS = 15.0
# As old as a row may be before the sweep publishes it too.
_PROMPT_SECONDS = 1.0


@dataclass(slots=True)
class Sent:
    """Messages on their way to the broker."""

    rows: Sequence[Mapping[str, Any]]
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    done: threading.Event = field(default_factory=threading.Event)
    given_up: bool = False
    at: float = field(default_factory=time.monotonic)

    def wait(self, timeout: float) -> dict[str, Outcome]:
        """Each id's outcome, once all are confirmed; what isn't within these seconds is unknown."""
        self.done.wait(timeout)
        self.given_up = True
        settled = dict(self.outcomes)
        return {str(row["_id"]): settled.get(str(row["_id"]), "unknown") for row in self.rows}

    def settle(self, event_id: str, outcome: Outcome) -> None:
        self.outcomes[event_id] = outcome
        if len(self.outcomes) == len(self.rows):
            self.done.set()


@dataclass(slots=True)
class _InFlight:
    event_id: str
    batch: Sent
    returned: bool = False


class Publisher:
    """One connection and thread per process, started by the first `publish` (so after any fork)."""

    def __init__(self, amqp_url: str, app_name: str) -> None:
        self._parameters = amqp.parameters(amqp_url, f"{app_name} publisher")
        self._app_name = app_name
        self._user_id = str(self._parameters.credentials.username)
        self._starting = threading.Lock()
        self._pid: int | None = None
        self._reset()

    def _reset(self) -> None:
        self._waiting: deque[Sent] = deque()
        # By delivery tag, in the order sent.
        self._in_flight: dict[int, _InFlight] = {}
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
        return self.begin(rows).wait(timeout)

    def begin(self, rows: Sequence[Mapping[str, Any]]) -> Sent:
        """As `publish`, without waiting: ask what is returned for the outcomes."""
        batch = Sent(list({str(row["_id"]): row for row in rows}.values()))
        if not batch.rows:
            batch.done.set()
            return batch
        self._start()
        self._waiting.append(batch)
        connection = self._connection
        if connection is not None:
            # A loop that is just ending can't be woken; it is sent once there is a channel again.
            with suppress(OSError):
                connection.ioloop.add_callback_threadsafe(self._send_waiting)
        return batch

    def wait_connected(self, timeout: float) -> bool:
        """Whether there is a channel to publish on, waiting up to `timeout` seconds for one.

        False while the broker has not confirmed messages that were given up, for as long as a dead connection lasts:
        messages sent again to a stopped broker would be in its queues several times afterwards.
        """
        self._start()
        return self._ready.wait(timeout) and not self._is_silent()

    @property
    def sends_at_once(self) -> bool:
        """Whether messages that are begun now go out now: the broker is there, and confirms promptly."""
        is_open = self._pid == os.getpid() and self._ready.is_set() and not self._blocked
        return is_open and not any(time.monotonic() - sent.batch.at > _PROMPT_SECONDS for sent in self._oldest())

    def _oldest(self) -> list[_InFlight]:
        """The message that has waited longest for the broker's confirm, if any does."""
        return list(self._in_flight.values())[:1]

    def _is_silent(self) -> bool:
        return any(
            sent.batch.given_up and time.monotonic() - sent.batch.at < _SILENT_SECONDS for sent in self._oldest()
        )

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
            wait, pause = amqp.next_wait(wait, was_well=was_ready)
            self._stopping.wait(pause)
        while self._waiting:
            batch = self._waiting.popleft()
            for row in batch.rows:
                batch.settle(str(row["_id"]), "unknown")

    def _talk(self) -> None:
        connection = amqp.dial(self._parameters, on_open=self._on_open, on_gone=self._on_gone)
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
        by_broker = isinstance(reason, amqp.ClosedByBroker)
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

    def _send(self, batch: Sent) -> None:
        for row in batch.rows:
            event_id = str(row["_id"])
            self._in_flight[self._next_tag] = _InFlight(event_id, batch)
            self._next_tag += 1
            self._channel.basic_publish(
                amqp.EXCHANGE,
                str(row["key"]),
                bytes(row["body"]),
                amqp.persistent(message_id=event_id, user_id=self._user_id, app_id=self._app_name),
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
            # In the order sent, so only the beginning is looked at.
            tags = list(takewhile(lambda tag: tag <= method.delivery_tag, self._in_flight))
        acked = amqp.is_ack(method)
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
