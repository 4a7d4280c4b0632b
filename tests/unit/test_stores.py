"""Stores and their register, on a real MongoDB: closed lists, sealed parts, orphans, and what an erasure leaves."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from bson import encode
from pymongo.errors import DuplicateKeyError

from deploy.local.stack import Stack
from shared.clock import utc_now
from shared.db import Disposal, Register
from shared.db.unit_of_work import Tx
from shared.errors import Changed
from shared.fields import Count, Name, Optional
from shared.ids import new_id
from tests.helpers import rewrite
from tests.unit.stores_rig import CLEAR, Asked, Known, Room, Thing, a_room, in_another_process


@pytest.fixture(scope="module")
def room(stack: Stack, worker_id: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with a_room(stack, f"stores{worker_id}", tmp_path_factory.mktemp("roots")) as opened:
        yield opened


def test_an_item_comes_back_as_it_was_given(room: Room) -> None:
    case_id, other = room.a_case(), room.a_case()
    given = room.a_thing(case_id, of=other, count=3, born=date(1984, 2, 29), tags=("x", "ł"), text="Żaneta\nŁ")
    assert given.version == 1
    assert room.things.get(given.id) == given
    assert room.things.get(given.id, case_id=case_id) == given
    assert room.things.get(given.id, case_id=other) is None
    # A date is kept as text and a time as a time.
    row = room.things.rows.find_one({"_id": given.id}) or {}
    assert (row["at"], row["of"], row["version"]) == (given.at, other, 1)


def test_a_record_about_a_case_has_its_id_and_is_put_whatever_it_was(room: Room) -> None:
    case_id = room.a_case()
    for count in (1, 2):
        room.unit_of_work.run(lambda tx, count=count: room.known.put(Known(case_id=case_id, count=count), tx=tx))
    assert room.known.get(case_id) == Known(case_id=case_id, count=2)
    # One with a sealed part too
    for text in ("one", "two"):
        thing = Thing(id=case_id, case_id=case_id, text=text, version=7)
        room.unit_of_work.run(lambda tx, thing=thing: room.things.put(thing, tx=tx))
        assert room.things.get(case_id) == thing


def test_what_is_none_may_be_left_out_so_that_it_clashes_with_nothing(room: Room) -> None:
    case_id, of = room.a_case(), new_id()
    room.a_thing(case_id), room.a_thing(case_id), room.a_thing(case_id, of=of)
    with pytest.raises(DuplicateKeyError):
        room.a_thing(case_id, of=of)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "Zoë Featherstonehaugh"},
        {"kind": None},
        {"of": "Zoë"},
        {"of": "5f0c"},
        {"count": "3"},
        {"count": True},
        {"count": -1},
        {"count": 1.5},
        {"at": "yesterday"},
        {"at": utc_now().replace(tzinfo=None)},
        {"at": None},
    ],
)
def test_a_clear_field_of_another_type_than_the_closed_list_says_is_refused(room: Room, wrong: dict[str, Any]) -> None:
    case_id = room.a_case()
    with pytest.raises(ValueError, match="doesn't keep in clear") as refused:
        room.unit_of_work.run(lambda tx: room.things.add(Thing(id=new_id(), case_id=case_id, **wrong), tx=tx))
    assert "Featherstonehaugh" not in str(refused.value)
    assert room.things.count({"case_id": case_id}) == 0
    thing = room.a_thing(case_id)
    for write in (room.things.save, room.things.strip, room.things.put):
        with pytest.raises(ValueError, match="doesn't keep in clear"):
            room.unit_of_work.run(lambda tx, write=write: write(replace(thing, **wrong), tx=tx))
    assert room.things.get(thing.id) == thing


def test_a_clear_field_that_the_dataclass_cannot_hold_is_refused_when_the_store_is_opened(room: Room) -> None:
    register = Register(room.unit_of_work)
    with pytest.raises(TypeError, match="Known doesn't have: kind"):
        register.repository("unit_known", Known, clear={"kind": Name()}, disposal=Disposal.ERASE)
    with pytest.raises(TypeError, match="may hold null where Known takes none: count"):
        register.repository("unit_known", Known, clear={"count": Optional(Count())}, disposal=Disposal.ERASE)


def test_what_is_personal_is_nowhere_in_the_row(room: Room) -> None:
    secret = "Żaneta Featherstonehaugh-Łukasik"
    thing = room.a_thing(room.a_case(), text=secret, born=date(1984, 2, 29))
    raw = encode(room.things.rows.find_one({"_id": thing.id}) or {})
    forms = (secret.encode(), secret.encode("utf-16-le"), base64.b64encode(secret.encode())[4:-4], b"Feathersto")
    assert [form for form in (*forms, b"1984-02-29") if form in raw] == []


def test_an_orphan_is_passed_over_in_lists_counted_and_removed(room: Room) -> None:
    case_id, other = room.a_case(), room.a_case()
    thing, asked = room.a_thing(case_id), room.an_asked(case_id)
    room.loses_key(case_id)
    elsewhere = in_another_process(room)
    things, requests = elsewhere.things, elsewhere.asked
    assert things.get(thing.id) is None
    assert things.of_case(case_id) == []
    assert things.find({"kind": "wish", "case_id": {"$in": [case_id, other]}}, limit=10) == []
    assert things.found(case_id) == things.remaining(case_id) == 1
    # A stripped store's row is still true without its personal part.
    assert requests.get(asked.id) == replace(asked, personal=None)
    assert requests.remaining(case_id) == 1
    assert requests.delete(case_id) == things.delete(case_id) == 1
    assert requests.remaining(case_id) == things.remaining(case_id) == 0
    assert requests.get(asked.id) == replace(asked, personal=None)


def test_what_was_stripped_can_still_be_changed_but_gets_no_sealed_part_again(room: Room) -> None:
    case_id = room.a_case()
    asked = room.an_asked(case_id)
    assert room.asked.delete(case_id) == 1
    # By somebody who had read it before, whether the key is still there or not
    for count in (2, 3):
        late = replace(asked, count=count, version=count - 1)
        room.unit_of_work.run(lambda tx, late=late: room.asked.save(late, tx=tx))
        assert room.asked.get(asked.id) == replace(late, version=count, personal=None)
        room.loses_key(case_id)
    assert room.asked.remaining(case_id) == 0


def test_stripping_leaves_what_is_sealed_under_a_key_of_its_own(room: Room) -> None:
    case_id, id = room.a_case(), new_id()
    new = Asked(id=id, case_id=case_id, personal={"text": "Zoë"}, own_key=True)

    def log(tx: Tx) -> Asked:
        room.vault.make([f"request:{id}"], tx.session)
        return room.asked.add(new, tx=tx)

    apart = room.unit_of_work.run(log)
    with_case = room.an_asked(case_id)
    assert room.asked.found(case_id) == 1
    assert room.asked.delete(case_id) == 1
    room.loses_key(case_id)
    assert room.asked.get(apart.id) == apart
    assert room.asked.get(with_case.id) == replace(with_case, personal=None)
    # Until it is stripped by name
    bare = room.unit_of_work.run(lambda tx: room.asked.strip(replace(apart, count=2), tx=tx))
    assert room.asked.get(apart.id) == replace(bare, personal=None, own_key=False)
    assert (bare.count, bare.version) == (2, 2)


def test_a_change_needs_the_version_that_was_read(room: Room) -> None:
    thing = room.a_thing(room.a_case())
    newer = room.unit_of_work.run(lambda tx: room.things.save(replace(thing, count=2, text="Zoé"), tx=tx))
    assert (newer.version, newer.text) == (2, "Zoé")
    for late in (room.things.save, room.things.strip, room.things.remove):
        with pytest.raises(Changed):
            room.unit_of_work.run(lambda tx, late=late: late(replace(thing, count=3), tx=tx))
    assert room.things.get(thing.id) == newer
    room.unit_of_work.run(lambda tx: room.things.remove(newer, tx=tx))
    assert room.things.get(thing.id) is None


def test_p23_an_export_is_plain_and_leaves_out_what_is_not_the_familys(room: Room) -> None:
    case_id = room.a_case()
    thing = room.a_thing(case_id, born=date(2012, 2, 29), tags=("x",))
    room.a_thing(room.a_case())
    (given,) = room.things.export(case_id)
    assert (given.id, given.content) == (thing.id, None)
    assert json.loads(json.dumps(given.fields)) == {
        "kind": "wish",
        "of": None,
        "count": 1,
        "at": thing.at.isoformat(),
        "text": "Zoë",
        "born": "2012-02-29",
        "tags": ["x"],
    }


def test_p15_of_what_stands_apart_nothing_is_counted_walked_or_exported(room: Room) -> None:
    register = Register(room.unit_of_work)
    apart = register.repository("unit_late", Thing, clear=CLEAR, disposal=Disposal.APART, why="a test")
    case_id = room.a_case()
    thing = room.unit_of_work.run(lambda tx: apart.add(Thing(id=new_id(), case_id=case_id), tx=tx))
    assert register.erased_by_a_case() == register.late() == []
    assert apart.found(case_id) == apart.delete(case_id) == apart.remaining(case_id) == 0
    assert list(apart.export(case_id)) == []
    assert apart.get(thing.id) == thing


def test_the_register_knows_every_store_once_and_what_becomes_of_it(room: Room) -> None:
    kept = room.register.keep("unit_kept", clear={"what": Name()}, retention=None, why="a test")
    assert [s.name for s in room.register.erased_by_a_case()] == ["unit_things", "unit_asked", "unit_known"]
    assert [store.name for store in room.register.late()] == ["unit_late"]
    with pytest.raises(ValueError, match="opened twice"):
        room.register.keep("unit_things", clear={}, retention=None, why="a test")
    with pytest.raises(ValueError, match="unit_kept doesn't keep"):
        kept.insert({"_id": new_id(), "what": "Zoë said so"})
    with pytest.raises(ValueError, match="unit_kept doesn't keep"):
        kept.insert({"_id": new_id(), "what": "words", "name": "Zoë"})
    assert kept.rows.count_documents({}) == 0


def test_a_test_may_change_a_record_so_that_it_is_still_the_services_own(room: Room) -> None:
    thing, asked = room.a_thing(room.a_case()), room.an_asked(room.a_case())
    assert rewrite(room.things, {"_id": thing.id}, count=7) == 1
    assert room.things.get(thing.id) == replace(thing, count=7)
    room.asked.delete(asked.case_id)
    assert rewrite(room.asked, {"_id": asked.id}, kind="note") == 1
    assert room.asked.get(asked.id) == replace(asked, kind="note", personal=None)
