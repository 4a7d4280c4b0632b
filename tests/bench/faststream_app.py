"""The same job by FastStream, which has no outbox: a subscriber that writes one row of a case once.

Acks after the handler, a quorum queue, 50 messages ahead handled at once on one event loop with pymongo's
asynchronous client. Run as `python -m tests.bench.faststream_app`.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from faststream import AckPolicy, FastStream
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue
from pymongo import AsyncMongoClient

QUEUE = "bench.faststream"
_client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
    os.environ["BENCH_MONGO_URL"], w="majority", journal=True, tz_aware=True
)
_rows = _client[os.environ["BENCH_DATABASE"]]["effects"]
broker = RabbitBroker(os.environ["BENCH_AMQP_URL"], logger=None)


@broker.subscriber(
    RabbitQueue(QUEUE, durable=True, queue_type=QueueType.QUORUM),
    channel=Channel(prefetch_count=50),
    ack_policy=AckPolicy.NACK_ON_ERROR,
)
async def given(message: dict[str, str]) -> None:
    row = {"case_id": message["case_id"], "casework": True, "until": None}
    await _rows.update_one({"_id": message["event_id"]}, {"$setOnInsert": row}, upsert=True)


if __name__ == "__main__":
    asyncio.run(FastStream(broker, logger=None).run())
