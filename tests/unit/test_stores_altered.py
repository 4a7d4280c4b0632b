"""Rows that something else than the service has changed are refused, and rows of earlier versions are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog
from pymongo.collection import Collection

from deploy.local.stack import Stack
from shared.clock import utc_now
from shared.db import Disposal, Register
from shared.db.keys.errors import Altered
from shared.ids import new_id
from tests.unit.stores_rig import CLEAR, Known, Room, Thing, a_room

Alter = Callable[[Collection[Any], "Thing", "Thing"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A thing as it was before some of its fields were thought of."""

    id: str
    case_id: str
    version: int = 0
    kind: str = "wish"
    count: int = 1
    at: datetime = field(default_factory=utc_now)
    text: str = "Zoë"


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncounted:
    """What was known of a case before anything was counted."""

    case_id: str
    version: int = 0


@pytest.fixture(scope="module")
def room(stack: Stack, worker_id: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with a_room(stack, f"altered{worker_id}", tmp_path_factory.mktemp("roots")) as opened:
        yield opened


def test_a_row_from_before_a_field_was_added_is_read_with_its_default(room: Room) -> None:
    case_id = room.a_case()
    # Given rows of stores that knew neither `of`, tags nor a count yet
    register = Register(room.unit_of_work)
    less = {name: of for name, of in CLEAR.items() if name != "of"}
    before = register.repository("unit_things", Earlier, clear=less, disposal=Disposal.ERASE)
    bare = register.repository("unit_known", Uncounted, clear={}, disposal=Disposal.ERASE)
    old = room.unit_of_work.run(lambda tx: before.add(Earlier(id=new_id(), case_id=case_id), tx=tx))
    room.unit_of_work.run(lambda tx: bare.put(Uncounted(case_id=case_id), tx=tx))
    # Then today's reads and changes what it wrote
    thing = room.things.get(old.id)
    assert thing == Thing(id=old.id, case_id=case_id, version=1, at=old.at)
    assert thing is not None
    assert room.unit_of_work.run(lambda tx: room.things.save(thing, tx=tx)) == room.things.get(old.id)
    assert room.known.get(case_id) == Known(case_id=case_id)


# Each is done in the database, to a record of a case that has two, by somebody without a key.
def moved_here(things: Collection[Any], thing: Thing, other: Thing) -> None:
    theirs = things.find_one({"_id": other.id}) or {}
    things.update_one({"_id": thing.id}, {"$set": {"personal": theirs["personal"]}})


def edited(things: Collection[Any], thing: Thing, other: Thing) -> None:
    things.update_one({"_id": thing.id}, {"$set": {"kind": "note"}})


def given_another_field(things: Collection[Any], thing: Thing, other: Thing) -> None:
    things.update_one({"_id": thing.id}, {"$set": {"of": other.id}})


def given_another_version(things: Collection[Any], thing: Thing, other: Thing) -> None:
    things.update_one({"_id": thing.id}, {"$set": {"version": 2}})


def moved_to_another_case(things: Collection[Any], thing: Thing, other: Thing) -> None:
    things.update_one({"_id": thing.id}, {"$set": {"case_id": other.id}})


def robbed_of_its_sealed_part(things: Collection[Any], thing: Thing, other: Thing) -> None:
    things.update_one({"_id": thing.id}, {"$unset": {"personal": ""}})


def given_bytes_that_nobody_sealed(things: Collection[Any], thing: Thing, other: Thing) -> None:
    things.update_one({"_id": thing.id}, {"$set": {"personal": b"\0\1"}})


@pytest.mark.parametrize(
    "done",
    [
        moved_here,
        edited,
        given_another_field,
        given_another_version,
        moved_to_another_case,
        robbed_of_its_sealed_part,
        given_bytes_that_nobody_sealed,
    ],
)
def test_a_record_that_was_altered_is_refused_with_an_alarm(
    room: Room, done: Alter, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other tests of this process may have set up logging otherwise
    monkeypatch.setattr("shared.db.records.log", structlog.wrap_logger(structlog.PrintLogger()))
    case_id = room.a_case()
    thing, other = room.a_thing(case_id, text="one"), room.a_thing(case_id, text="other")
    done(room.things.rows, thing, other)
    with pytest.raises(Altered):
        room.things.get(thing.id)
    with pytest.raises(Altered):
        room.things.find({"_id": {"$in": [thing.id, other.id]}})
    assert "record.altered" in capsys.readouterr().out
    # The one beside it is as it was, and an erasure of either case takes it all
    assert room.things.get(other.id) == other
    assert [room.things.found(id) + room.things.delete(id) for id in (case_id, other.id)] in ([4, 0], [2, 2])
    assert room.things.remaining(case_id) == 0


def test_an_older_sealed_part_does_not_open_in_a_newer_row(room: Room) -> None:
    thing = room.a_thing(room.a_case(), text="one")
    old = room.things.rows.find_one({"_id": thing.id}) or {}
    room.unit_of_work.run(lambda tx: room.things.save(replace(thing, text="two"), tx=tx))
    room.things.rows.update_one({"_id": thing.id}, {"$set": {"personal": old["personal"]}})
    with pytest.raises(Altered):
        room.things.get(thing.id)


@pytest.mark.parametrize("change", [{"count": 9}, {"case_id": new_id()}, {"version": 2}, {"mac": b"x"}, {"mac": None}])
def test_a_record_with_nothing_sealed_is_bound_too(room: Room, change: dict[str, Any]) -> None:
    case_id = room.a_case()
    room.unit_of_work.run(lambda tx: room.known.put(Known(case_id=case_id, count=1), tx=tx))
    room.known.rows.update_one({"_id": case_id}, {"$set": change})
    with pytest.raises(Altered):
        room.known.get(case_id)


def test_what_is_written_without_the_version_decides_nothing_and_leaves_the_record_open(room: Room) -> None:
    store = Register(room.unit_of_work).repository(
        "unit_late", Thing, clear=CLEAR, disposal=Disposal.ERASE, unbound=("at",)
    )
    case_id = room.a_case()
    thing = room.unit_of_work.run(lambda tx: store.add(Thing(id=new_id(), case_id=case_id), tx=tx))
    later = thing.at + timedelta(days=1)
    store.rows.update_one({"_id": thing.id}, {"$set": {"at": later}})
    assert store.get(thing.id) == replace(thing, at=later)
