"""The same job by Celery: a task that writes one row of a case once, however often it comes.

Late acks and a quorum queue, as nothing may be lost; two processes for two cores, 50 messages ahead in all, no results,
no events, no gossip. Run as `celery -A tests.bench.celery_app worker`.
"""

from __future__ import annotations

import os

from celery import Celery  # type: ignore[import-untyped]
from kombu import Queue  # type: ignore[attr-defined]
from pymongo import MongoClient

from shared.db.unit_of_work import Row, connect

QUEUE = "bench.celery"

app = Celery("bench", broker=os.environ["BENCH_AMQP_URL"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    task_default_queue=QUEUE,
    task_queues=[Queue(QUEUE, durable=True, queue_arguments={"x-queue-type": "quorum"})],  # type: ignore[no-untyped-call]
    worker_prefetch_multiplier=25,
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)
_clients: list[MongoClient[Row]] = []


@app.task(name="given")  # type: ignore[untyped-decorator]
def given(event_id: str, case_id: str) -> None:
    if not _clients:
        # One a process, made after the fork.
        _clients.append(connect(os.environ["BENCH_MONGO_URL"]))
    rows = _clients[0][os.environ["BENCH_DATABASE"]]["effects"]
    row = {"case_id": case_id, "casework": True, "until": None}
    rows.update_one({"_id": event_id}, {"$setOnInsert": row}, upsert=True)
