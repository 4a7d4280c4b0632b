"""What an event is: CloudEvents 1.0, structured JSON, made of the closed field types alone.

Publishers reject a field that a type doesn't have; consumers ignore it. A breaking change is a new version.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cloudevents.core.exceptions import BaseCloudEventException
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from shared.errors import Permanent
from shared.fields import Field, misfits
from shared.ids import is_id

SERVICES = ("case", "document", "consent", "notifier")
_FORMAT = JSONFormat()
_ROUTING_KEY = re.compile(rf"([a-z_.]+)\.v\d{{1,4}}(?:\.(?:{'|'.join(SERVICES)}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """One version of one event.

    topic: for a state event, the name of the state it carries whole; a consumer applies it only when its
      `seq` is above the last one applied of that topic. None: applied with any `seq`.
    publishers: the services whose account may send it.
    key_ends_in_service: the routing key has the sender's name appended, so that the broker can tell senders apart.
    """

    name: str
    version: int = 1
    publishers: tuple[str, ...]
    fields: Mapping[str, Field]
    topic: str | None = None
    key_ends_in_service: bool = False

    @property
    def type(self) -> str:
        return f"{self.name}.v{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened to a case. `data` has no person in it, only the closed field types."""

    id: str
    type: EventType
    source: str
    time: datetime
    seq: int
    data: Mapping[str, Any] = field(default_factory=dict)
    traceparent: str | None = None

    @property
    def case(self) -> str:
        return str(self.data["case"])

    @property
    def routing_key(self) -> str:
        return f"{self.type.type}.{self.source}" if self.type.key_ends_in_service else self.type.type


_TYPES: dict[str, EventType] = {}


def define(event_type: EventType) -> EventType:
    """Enter a type in the registry that consumers read from."""
    if event_type.type in _TYPES:
        raise ValueError(f"{event_type.type} is defined twice")
    _TYPES[event_type.type] = event_type
    return event_type


def all_types() -> Mapping[str, EventType]:
    return _TYPES


def is_ours(routing_key: object) -> bool:
    """Whether it is the routing key of an event that is defined here, in any version: then no person is named in it."""
    found = _ROUTING_KEY.fullmatch(routing_key) if isinstance(routing_key, str) else None
    return found is not None and any(event_type.name == found[1] for event_type in _TYPES.values())


def write(event: Event) -> bytes:
    """The event as structured CloudEvents JSON.

    Raises ValueError naming the fields that don't fit its type: a bug in the publisher, found before it is sent.
    """
    if wrong := misfits(event.type.fields, event.data):
        raise ValueError(f"{event.type.type} doesn't have, or wants otherwise: {', '.join(sorted(wrong))}")
    attributes: dict[str, Any] = {
        "id": event.id,
        "source": f"/{event.source}",
        "type": event.type.type,
        "time": event.time,
        "subject": event.case,
        "datacontenttype": "application/json",
        "seq": event.seq,
    }
    if event.traceparent:
        attributes["traceparent"] = event.traceparent
    return _FORMAT.write(CloudEvent(attributes, dict(event.data)))


class UnknownType(Permanent):
    """A type or version this service doesn't know."""

    def __init__(self, type_name: str) -> None:
        super().__init__("unknown-type")
        self.type_name = type_name


def _as_sent(attributes: dict[str, Any], data: Any = None) -> CloudEvent:
    """The event with what it came with: the library makes up an id, anew for each delivery. Raises KeyError."""
    if missing := {"specversion", "id", "time"} - attributes.keys():
        raise KeyError(*missing)
    return CloudEvent(attributes, data)


def read(body: bytes) -> Event:
    """An event from the wire; fields this version doesn't know are dropped.

    Raises Permanent("unreadable" | "wrong-shape") and UnknownType, none with any of the content.
    """
    try:
        cloud = _FORMAT.read(_as_sent, body)
        data = cloud.get_data()
    except (BaseCloudEventException, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Permanent("unreadable") from error
    event_type = _TYPES.get(cloud.get_type())
    if event_type is None:
        raise UnknownType(cloud.get_type())
    if not isinstance(data, dict):
        raise Permanent("wrong-shape")
    known = {name: value for name, value in data.items() if name in event_type.fields}
    seq = cloud.get_extension("seq")
    time = cloud.get_time()
    source = cloud.get_source().removeprefix("/")
    fits = (
        not misfits(event_type.fields, known)
        and isinstance(seq, int)
        and not isinstance(seq, bool)
        and is_id(cloud.get_id())
        and time is not None
        and source in event_type.publishers
    )
    if not fits or time is None:
        raise Permanent("wrong-shape")
    trace = cloud.get_extension("traceparent")
    return Event(
        id=cloud.get_id(),
        type=event_type,
        source=source,
        time=time,
        seq=int(seq),
        data=known,
        traceparent=trace if isinstance(trace, str) else None,
    )
