"""The worker process of a service: its consumer, its steps, its outbox's sweep, and what it does periodically."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from prometheus_client import start_http_server

from shared.db import Register
from shared.erasure.named_keys import NamedKeys
from shared.messaging.bus import Consumer, Publisher
from shared.messaging.inbox import Handler, Inbox
from shared.messaging.outbox import Outbox
from shared.messaging.steps import Steps
from shared.ops.logs import log
from shared.ops.periodic import Every, Periodic

_READY_FILE = "FMN_READY_FILE"
_METRICS = "FMN_WORKER_METRICS"
_STOP_SECONDS = 4.5
_SWEEP_SECONDS = 1.0
_DEFERRED_SECONDS = 1.0
_UNREAD_SECONDS = 3600.0


class _Settings(Protocol):
    @property
    def service(self) -> str: ...
    @property
    def names(self) -> str: ...
    @property
    def amqp_url(self) -> str: ...


def run_worker(
    settings: _Settings,
    register: Register,
    handlers: Mapping[str, Handler],
    steps: Steps,
    periodic: Sequence[Every] = (),
    *,
    keys: NamedKeys,
    without_gate: frozenset[str] = frozenset(),
    watch: Callable[[threading.Event], None] = lambda stop: None,
) -> int:
    """Run until SIGTERM or SIGINT; 0. Then: stop consuming, finish what is in hand, flush, close, within 5 s.

    FMN_READY_FILE, where set, is touched once the queue is being consumed. FMN_WORKER_METRICS, where set, is the
    host:port at which this process shows its metrics. watch: given what ends it, where something else may too.
    """
    if address := os.environ.get(_METRICS):
        host, _, port = address.rpartition(":")
        start_http_server(int(port), host)
    if ready_file := os.environ.get(_READY_FILE):
        Path(ready_file).unlink(missing_ok=True)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    publisher = Publisher(settings.amqp_url, f"{settings.names}-{settings.service} worker")
    outbox = Outbox(register, publisher)
    inbox = Inbox(register, handlers, keys=keys, names=settings.names, without_gate=without_gate)
    register.prepare()
    consumer = Consumer(settings.amqp_url, f"fmn.{settings.service}", inbox.handle, on_consuming=_say_ready)
    jobs = Periodic(
        [
            Every(seconds=_SWEEP_SECONDS, run=outbox.sweep, name="outbox-sweep"),
            Every(seconds=_DEFERRED_SECONDS, run=inbox.work_deferred, name="deferred"),
            Every(seconds=_UNREAD_SECONDS, run=inbox.parked_messages.forget_old, name="unread"),
            *periodic,
        ]
    )
    steps.start()
    jobs.start()
    consumer.start()
    log.info("worker.started")
    watch(stop)
    stop.wait()

    deadline = time.monotonic() + _STOP_SECONDS
    consumer.request_stop(finish_within=3.0)
    steps.request_stop()
    jobs.request_stop()
    consumer.join(max(0.0, deadline - 1.0 - time.monotonic()))
    steps.join(max(0.0, deadline - 1.0 - time.monotonic()))
    outbox.flush(max(0.1, deadline - 0.5 - time.monotonic()))
    jobs.join(max(0.0, deadline - 0.4 - time.monotonic()))
    publisher.stop(max(0.1, deadline - time.monotonic()))
    log.info("worker.stopped")
    return 0


def _say_ready() -> None:
    ready_file = os.environ.get(_READY_FILE)
    if ready_file:
        Path(ready_file).touch()
