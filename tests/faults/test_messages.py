"""Messages that nobody can read or knows: each is put aside with its reason, and the others go on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from shared.clock import utc_now
from shared.events import SERVICES, Event, case, consent, write
from shared.ids import new_id
from tests.faults.driver import drained
from tests.faults.stream import Said, a_case
from tests.helpers import eventually
from tests.races.inside import Inside, Row
from tests.system import System


@pytest.fixture
def about(system: System, inside: Inside) -> Iterator[Said]:
    """A case to say something about; what was put aside meanwhile is taken away afterwards."""
    before = {(service, row["_id"]) for service in SERVICES for row in _aside(inside, service)}
    yield a_case(system)
    for service in SERVICES:
        for row in _aside(inside, service):
            if (service, row["_id"]) not in before:
                for store in ("parked", "deferred"):
                    inside.mongo[f"{inside.names}_{service}"][store].delete_one({"_id": row["_id"]})
    drained(inside, 10)


def _aside(inside: Inside, service: str) -> list[Row]:
    return [*inside.rows(service, "parked"), *inside.rows(service, "deferred")]


def _people(about: Said, **more: Any) -> dict[str, Any]:
    """A whole event of the case service as JSON, to be spoilt."""
    people = [{"person": about.person, "role": "parent", "post": False, "email": False}]
    data = {"case": about.case_id, "people": people}
    event = Event(id=new_id(), type=case.PEOPLE, source="case", time=utc_now(), seq=1_000_000, data=data)
    return {**json.loads(write(event)), **more}


def _body(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode()


def _spoilt(about: Said) -> dict[str, tuple[bytes, str]]:
    """Bodies by what is wrong with them, each with the reason it is parked for."""
    whole = _people(about)
    return {
        "nothing at all": (b"", "unreadable"),
        "no text": (bytes(range(256)), "unreadable"),
        "no JSON": (b"{", "unreadable"),
        "no object": (b"[1, 2]", "unreadable"),
        "nested without end": (b"[" * 100_000, "unreadable"),
        "a number where an id belongs": (_body(_people(about, data={"case": 7, "people": []})), "wrong-shape"),
        "no id": (_body({k: v for k, v in whole.items() if k != "id"}), "unreadable"),
        "an id that is none": (_body({**whole, "id": "x" * 36}), "wrong-shape"),
        "seq as a word": (_body({**whole, "seq": "first"}), "wrong-shape"),
        "no data": (_body({k: v for k, v in whole.items() if k != "data"}), "wrong-shape"),
        "a million bytes": (b"x" * 1_000_000, "unreadable"),
        "somebody else's name": (_body({**whole, "source": "/consent"}), "wrong-shape"),
    }


def test_malformed_messages_are_parked_with_their_reason_and_others_go_on(
    system: System, inside: Inside, about: Said
) -> None:
    spoilt = _spoilt(about)
    for body, _reason in spoilt.values():
        inside.publish("case", new_id(), case.PEOPLE.type, body)
    sound = inside.say("case", case.PEOPLE, about.case_id, people=[])
    wanted = sorted(reason for _body, reason in spoilt.values())
    for service in SERVICES:
        eventually(lambda service=service: len(inside.rows(service, "parked")) >= len(spoilt))
        assert sorted(str(row["reason"]) for row in inside.rows(service, "parked")) == wanted, service
    for service in ("consent", "notifier"):
        eventually(lambda service=service: inside.row(service, "inbox", _id=f"{service}:{sound.id}"))


@pytest.mark.parametrize("name", ["case.people.v9", "case.people.v0", "consent.given.v2"])
def test_an_unknown_version_of_an_ordinary_event_is_parked(inside: Inside, about: Said, name: str) -> None:
    publisher = name.partition(".")[0]
    event = _people(about, type=name, source=f"/{publisher}")
    inside.publish(publisher, event["id"], name, _body(event))
    for service in SERVICES:
        found = eventually(lambda service=service: inside.row(service, "parked", type=name))
        assert found["reason"] == "unknown-version"


@pytest.mark.parametrize("known", [consent.STARTED, consent.FROZEN, consent.WITHDRAWN, consent.COMPLETED])
def test_an_unknown_version_of_what_forgets_is_kept_until_it_is_known(inside: Inside, about: Said, known: Any) -> None:
    name = f"{known.name}.v7"
    event = _people(about, type=name, source="/consent")
    inside.publish("consent", event["id"], name, _body(event))
    for service in SERVICES:
        found = eventually(lambda service=service: inside.row(service, "deferred", type=name))
        assert found["reason"] == "unknown-version"
        assert inside.row(service, "parked", type=name) is None
        assert inside.gate(service, about.case_id) in (None, "open")


def test_fields_that_nobody_knows_are_ignored(inside: Inside, about: Said) -> None:
    event = _people(about, unheardof="x")
    event["data"]["more"] = {"of": ["it"]}
    inside.publish("case", event["id"], case.PEOPLE.type, _body(event))
    for service in ("consent", "notifier"):
        eventually(lambda service=service: inside.row(service, "inbox", _id=f"{service}:{event['id']}"))
