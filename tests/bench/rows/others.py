"""The same job by Celery and by FastStream: a full queue is drained, and one row written once for each message.

Ours is the document service's own worker, which besides checks the sender and the shape, passes the case's gate, keeps
the order and remembers the event. Theirs are celery_app.py and faststream_app.py, each set up as well as we know how.
All three wait for a majority and its journal, on the same servers, from a quorum queue of persistent messages. Timed
from the first row that can be read to the last, so that nobody's start counts.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pika  # type: ignore[import-untyped]
from pymongo import MongoClient
from pymongo.collection import Collection

from deploy.local import mongo
from deploy.local.broker import Management
from deploy.local.places import PROJECT
from deploy.local.processes import Process, Program
from deploy.mongo.accounts import drop_account, ensure_account
from shared.clock import utc_now
from shared.db.unit_of_work import outbox_row
from shared.events import Event, consent
from shared.ids import new_id
from shared.messaging.bus import Publisher
from tests.bench.bench import Bench
from tests.bench.results import Result, at_least
from tests.helpers import make_gates
from tests.system import open_with

NAME = "others"
_MESSAGES = 3_000
_PREFIX, _OURS = "benchothers", "benchours"
_CELERY = [
    sys.executable, "-m", "celery", "-A", "tests.bench.celery_app", "worker", "--concurrency", "2", "--loglevel",
    "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat",
]  # fmt: skip
_FASTSTREAM = [sys.executable, "-m", "tests.bench.faststream_app"]


def run(bench: Bench) -> list[Result]:
    count = bench.sized(_MESSAGES, 200)
    with ExitStack() as stack:
        client = stack.enter_context(mongo.admin_client(bench.stack.places, bench.stack.ports))
        ours = stack.enter_context(_ours(bench, client))
        others = stack.enter_context(_others(bench, client))
        rates = bench.interleaved(
            {
                "ours": lambda: ours(count),
                "celery": lambda: others(count, "bench.celery", _CELERY, _as_celery),
                "faststream": lambda: others(count, "bench.faststream", _FASTSTREAM, _as_faststream),
            }
        )
    work = "one effect a message, drained"
    return [
        Result(
            work,
            beside,
            rates["ours"] / rates[name],
            at_least(target),
            f"ours {rates['ours']:,.0f}, theirs {rates[name]:,.0f} messages/s",
        )
        for name, beside, target in (
            ("celery", "the same by Celery (2 processes, late acks)", 1.2),
            ("faststream", "the same by FastStream (50 at once)", 2.0),
        )
    ]


@contextmanager
def _ours(bench: Bench, client: MongoClient[Any]) -> Iterator[Callable[[int], float]]:
    """The document service's worker, on names of its own; what drains so many messages and answers the rate."""
    provided = bench.stack.provision(_OURS)
    publisher = Publisher((provided.secrets["consent"] / "amqp-url").read_text().strip(), "bench")
    database = client[f"{_OURS}_document"]
    unit_of_work = open_with(provided, "document", "bench").runtime.unit_of_work
    worker = bench.stack.start_services(provided, ["document-worker"])["document-worker"]

    def drain(count: int) -> float:
        worker.stop()
        cases = [new_id() for _ in range(count)]
        make_gates(unit_of_work, cases)
        rows = [outbox_row(_given(case), utc_now()) for case in cases]
        for start in range(0, count, 500):
            assert set(publisher.publish(rows[start : start + 500], 30).values()) == {"ok"}
        return _rate(worker, database["projections"], count)

    try:
        yield drain
    finally:
        worker.stop()
        publisher.stop()
        bench.stack.deprovision(_OURS)


def _given(case_id: str) -> Event:
    consent_id = new_id()
    data = {"case": case_id, "consent": consent_id, "standing": [{"consent": consent_id, "purpose": "casework"}]}
    return Event(id=new_id(), type=consent.GIVEN, source="consent", time=utc_now(), seq=1, data=data)


@contextmanager
def _others(bench: Bench, client: MongoClient[Any]) -> Iterator[Callable[..., float]]:
    """A vhost, an account and a database in which the others may do what they like."""
    management, password = Management.of(bench.stack.places, bench.stack.ports), secrets.token_urlsafe(12)
    ports, places = bench.stack.ports, bench.stack.places
    rights = {"configure": ".*", "write": ".*", "read": ".*"}
    management.call("PUT", f"/api/vhosts/{_PREFIX}", {})
    management.call("PUT", f"/api/users/{_PREFIX}", {"password": password, "tags": ""})
    management.call("PUT", f"/api/permissions/{_PREFIX}/{_PREFIX}", rights)
    name = ensure_account(client, _PREFIX, "others", password)
    amqp = f"amqp://{_PREFIX}:{password}@127.0.0.1:{ports['amqp']}/{_PREFIX}"
    env = {
        "BENCH_AMQP_URL": amqp,
        "BENCH_MONGO_URL": f"mongodb://{name}:{password}@127.0.0.1:{ports['mongodb']}/"
        f"?authSource=admin&replicaSet={mongo.REPLICA_SET}",
        "BENCH_DATABASE": f"{_PREFIX}_others",
    }
    effects = client[f"{_PREFIX}_others"]["effects"]

    def drain(count: int, queue: str, command: Sequence[str], message: Callable[[], tuple[bytes, Any]]) -> float:
        with pika.BlockingConnection(pika.URLParameters(amqp)) as connection:
            channel = connection.channel()
            channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
            for _ in range(count):
                body, properties = message()
                channel.basic_publish("", queue, body, properties)
        worker = Process(
            Program(name=queue, command=command, cwd=PROJECT, env=env, ready=lambda: True, grace_s=5), places
        )
        try:
            return _rate(worker, effects, count)
        finally:
            worker.stop()

    try:
        yield drain
    finally:
        management.drop(_PREFIX, [_PREFIX])
        drop_account(client, _PREFIX, "others")


def _rate(worker: Process, effects: Collection[Any], count: int) -> float:
    """Start the worker and watch its rows come: messages a second from the first to the last."""
    before = effects.count_documents({})
    first, seen = 0.0, 0
    deadline = time.monotonic() + 120
    worker.start()
    try:
        while seen < count:
            assert worker.running, f"{worker.name} ended after {seen} of {count}"
            assert time.monotonic() < deadline, f"{worker.name}: {seen} of {count}"
            time.sleep(0.005)
            now_seen, now = effects.estimated_document_count() - before, time.perf_counter()
            if now_seen and not seen:
                first, at_first = now, now_seen
            seen = now_seen
    finally:
        worker.stop()
    assert effects.count_documents({}) == before + count
    # What had come when it was first looked at isn't part of the time.
    return (count - at_first) / max(now - first, 1e-3)


def _as_celery() -> tuple[bytes, Any]:
    """A message as `given.delay(…)` writes it (Celery's protocol 2)."""
    event_id = new_id()
    body = json.dumps([[event_id, new_id()], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    headers = {"lang": "py", "task": "given", "id": event_id, "root_id": event_id, "parent_id": None, "group": None}
    properties = pika.BasicProperties(
        headers=headers, content_type="application/json", content_encoding="utf-8", delivery_mode=2,
        correlation_id=event_id,
    )  # fmt: skip
    return body.encode(), properties


def _as_faststream() -> tuple[bytes, Any]:
    body = json.dumps({"event_id": new_id(), "case_id": new_id()}).encode()
    return body, pika.BasicProperties(content_type="application/json", delivery_mode=2, message_id=new_id())
