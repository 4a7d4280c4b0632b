"""What is used of pika, which is pinned: the one file that imports it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pika  # type: ignore[import-untyped]
import pika.exceptions  # type: ignore[import-untyped]

EXCHANGE = "fmn.events"
CONTENT_TYPE = "application/cloudevents+json"
# Either side speaks at least every half of it. So a connection that the broker has lost, and whose loss our side didn't
# hear of, is noticed after four seconds; one that only swallows, after thirteen (pika waits five more).
_HEARTBEAT_SECONDS = 8
_SLOWEST_RECONNECT_SECONDS = 2.0

# What a broker that is away, or refuses us, raises.
BrokerError = (pika.exceptions.AMQPError, OSError)
ConnectionGone = pika.exceptions.ConnectionWrongStateError
ClosedByBroker = pika.exceptions.ChannelClosedByBroker


def parameters(amqp_url: str, name: str) -> Any:
    """How to connect; `name` is what the broker's operators see."""
    found = pika.URLParameters(amqp_url)
    if found.heartbeat is None:
        found.heartbeat = _HEARTBEAT_SECONDS
    found.connection_attempts = 1
    found.client_properties = {"connection_name": name}
    return found


def dial(to: Any, *, on_open: Callable[..., None], on_gone: Callable[..., None]) -> Any:
    """An asynchronous connection, which lives while its `ioloop` runs. on_gone: it couldn't be opened, or was lost."""
    return pika.SelectConnection(
        to, on_open_callback=on_open, on_open_error_callback=on_gone, on_close_callback=on_gone
    )


def connect(to: Any) -> Any:
    """A connection whose calls wait for the broker. Raises BrokerError."""
    return pika.BlockingConnection(to)


def persistent(*, message_id: str, user_id: str, app_id: str) -> Any:
    """The properties of a message that survives the broker's restart."""
    return pika.BasicProperties(
        content_type=CONTENT_TYPE, delivery_mode=2, message_id=message_id, user_id=user_id, app_id=app_id
    )


def is_ack(method: Any) -> bool:
    """Whether a confirm says yes."""
    return isinstance(method, pika.spec.Basic.Ack)


def next_wait(wait: float, *, was_well: bool) -> tuple[float, float]:
    """The next back-off, doubling to two seconds, and the pause to make now: both in seconds."""
    wait = 0.1 if was_well else min(wait * 2, _SLOWEST_RECONNECT_SECONDS)
    return wait, random.uniform(wait / 2, wait)  # noqa: S311 - spreads load, guards nothing
