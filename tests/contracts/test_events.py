"""Golden samples, one a version of an event: what was once published is read for ever."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from deploy.rabbitmq.definitions import render
from shared.errors import Permanent
from shared.events import SERVICES, Event, all_types, read, write
from shared.ids import is_id

GOLDEN = Path(__file__).parent / "golden"
TYPES = sorted(all_types())


def golden(type_name: str) -> bytes:
    return (GOLDEN / f"{type_name}.json").read_bytes()


@pytest.mark.parametrize("type_name", TYPES)
def test_every_event_has_a_golden_sample_that_is_still_read(type_name: str) -> None:
    event = read(golden(type_name))
    assert event.type.type == type_name
    assert is_id(event.id)
    assert set(event.data) == set(event.type.fields)


@pytest.mark.parametrize("type_name", TYPES)
def test_what_is_published_today_is_what_the_sample_says(type_name: str) -> None:
    event = read(golden(type_name))
    assert json.loads(write(event)) == json.loads(golden(type_name))


@pytest.mark.parametrize("type_name", TYPES)
def test_a_consumer_ignores_a_field_it_does_not_know(type_name: str) -> None:
    sample = json.loads(golden(type_name))
    sample["data"]["a_field_of_tomorrow"] = "whatever"
    assert read(json.dumps(sample).encode()).data == read(golden(type_name)).data


@pytest.mark.parametrize("missing", ["id", "time", "specversion", "seq", "data"])
def test_what_a_message_lacks_is_not_made_up(missing: str) -> None:
    sample = json.loads(golden(TYPES[0]))
    del sample[missing]
    with pytest.raises(Permanent):
        read(json.dumps(sample).encode())


@pytest.mark.parametrize("type_name", TYPES)
def test_a_publisher_rejects_a_field_that_the_type_does_not_have(type_name: str) -> None:
    event = read(golden(type_name))
    more = Event(
        id=event.id,
        type=event.type,
        source=event.source,
        time=datetime.now(UTC),
        seq=1,
        data={**event.data, "family_name": "x"},
    )
    with pytest.raises(ValueError, match="family_name"):
        write(more)


def handled() -> dict[str, set[str]]:
    """By service, the events it has a handler for, as its main.py declares them."""
    return {name: set(import_module(f"services.{name}.main").service.handles) for name in SERVICES}


def test_every_event_has_a_handler() -> None:
    kernel = {"case.frozen.v1", "case.released.v1", "erasure.started.v1", "case.ended.v1"}
    unhandled = set(TYPES) - set().union(*handled().values()) - kernel
    # Said for those who watch the exchange; an erasure's end changes nothing in the other services.
    assert unhandled <= {"erasure.completed.v1"}


@pytest.mark.parametrize("service", SERVICES)
def test_the_broker_lets_every_event_reach_its_handlers(service: str) -> None:
    bindings = _definitions()["bindings"]
    keys = [b["routing_key"] for b in bindings if b["destination"] == f"fmn.{service}"]
    unreached = [t for t in handled()[service] if not any(t.startswith(key.removesuffix("#")) for key in keys)]
    assert unreached == []


def _definitions() -> dict[str, Any]:
    return dict(render("fmn", dict.fromkeys(SERVICES, "a password that is only hashed here")))
