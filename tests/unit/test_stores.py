"""Stores and their register, on a real MongoDB: closed lists, sealed parts, orphans, and what an erasure leaves."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

import pytest
from bson import encode
from pymongo.errors import DuplicateKeyError

from deploy.local.provision import Provision
from shared.clock import utc_now
from shared.db import Disposal, Register, Repository
from shared.db.gates import CLOSED, FROZEN, OPEN
from shared.db.unit_of_work import Tx, UnitOfWork, connect
from shared.db.vault import KeyGone, Vault
from shared.errors import Changed, Erased, Frozen, NotFound
from shared.fields import Count, Id, Name, Optional, Time, one_of
from shared.ids import new_id

CLEAR = {"kind": one_of("wish", "note"), "of": Optional(Id()), "count": Count(), "at": Time()}
KEY = {"local:1": {"key": os.urandom(96)}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """A record with every part that a store knows. own: the name of a key of its own."""

    id: str
    case_id: str
    version: int = 0
    kind: str = "wish"
    of: str | None = None
    count: int = 1
    at: datetime = field(default_factory=utc_now)
    text: str = "Zoë"
    born: date | None = None
    tags: tuple[str, ...] = ()
    own: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A record that says itself what is sealed of it."""

    id: str
    case_id: str
    version: int = 0
    kind: str = "wish"
    of: str | None = None
    count: int = 1
    at: datetime = field(default_factory=utc_now)
    personal: Mapping[str, Any] | None = None
    own_key: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A record about a case itself, with nothing sealed."""

    case_id: str
    version: int = 0
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """One service's databases in this process, with a store of each disposal."""

    unit_of_work: UnitOfWork
    vault: Vault
    register: Register
    things: Repository[Thing]
    asked: Repository[Asked]
    late: Repository[Thing]
    known: Repository[Known]

    def a_case(self) -> str:
        case_id = new_id()
        self.unit_of_work.gates.prepare(self.vault, [case_id])
        return case_id

    def a_thing(self, case_id: str, **more: Any) -> Thing:
        def act(tx: Tx) -> Thing:
            tx.enter(case_id)
            return self.things.add(Thing(id=new_id(), case_id=case_id, **more), tx=tx)

        return self.unit_of_work.run(act)

    def an_asked(self, case_id: str, **more: Any) -> Asked:
        new = Asked(id=new_id(), case_id=case_id, personal={"text": "Zoë"}, **more)
        return self.unit_of_work.run(lambda tx: self.asked.add(new, tx=tx))


def opened(unit_of_work: UnitOfWork, vault: Vault) -> dict[str, Any]:
    register = Register(unit_of_work, vault)
    return {
        "register": register,
        "things": register.repository(
            "unit_things",
            Thing,
            clear=CLEAR,
            disposal=Disposal.ERASE,
            unique=(("of",),),
            absent_if_none=("of",),
            not_exported=("own",),
            key_of=lambda thing: thing.own,
            upgrade=lambda row: {**row, "count": row.get("count", row.get("number", 1))},
        ),
        "asked": register.repository(
            "unit_asked",
            Asked,
            clear=CLEAR,
            disposal=Disposal.STRIP,
            key_of=lambda asked: f"request:{asked.id}" if asked.own_key else None,
        ),
        "late": register.repository("unit_late", Thing, clear=CLEAR, disposal=Disposal.LATE),
        "known": register.repository("unit_known", Known, clear={"count": Count()}, disposal=Disposal.ERASE),
    }


@pytest.fixture(scope="module")
def room(provided: Provision) -> Iterator[Room]:
    client = connect((provided.secrets["case"] / "mongo-url").read_text().strip())
    # Beside the service's own: the same account, other collections and a vault key of this test's.
    unit_of_work = UnitOfWork(client, names=provided.prefix, service="case")
    unit_of_work.gates.rows = unit_of_work.db["unit_gates"]
    vault = Vault(client, unit_of_work.vault_db.name, KEY)
    stores = opened(unit_of_work, vault)
    stores["things"].prepare()
    yield Room(unit_of_work=unit_of_work, vault=vault, **stores)
    for name in ("unit_things", "unit_asked", "unit_late", "unit_known", "unit_gates", "unit_kept"):
        unit_of_work.db[name].drop()
    client.close()


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
    assert room.known.get(case_id) == Known(case_id=case_id, version=2, count=2)
    with pytest.raises(TypeError, match="sealed"):
        room.unit_of_work.run(lambda tx: room.things.put(Thing(id=new_id(), case_id=case_id), tx=tx))


def test_a_row_of_an_earlier_form_is_read_as_one_of_today(room: Room) -> None:
    thing = room.a_thing(room.a_case(), count=4)
    # Given a row that called the count otherwise, and knew no tags
    sealed = room.vault.seal({"_id": thing.id, "text": "Zoë"}, thing.case_id)
    change = {"$rename": {"count": "number"}, "$set": {"personal": sealed}}
    room.things.rows.update_one({"_id": thing.id}, change)
    assert room.things.get(thing.id) == thing


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
    for write in (room.things.save, room.things.save_clear):
        with pytest.raises(ValueError, match="doesn't keep in clear"):
            room.unit_of_work.run(lambda tx, write=write: write(replace(thing, **wrong), tx=tx))
    assert room.things.get(thing.id) == thing


def test_a_clear_field_that_the_dataclass_cannot_hold_is_refused_when_the_store_is_opened(room: Room) -> None:
    register = Register(room.unit_of_work, room.vault)
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


def test_the_sealed_part_of_one_record_is_not_opened_in_another(room: Room) -> None:
    case_id = room.a_case()
    one, other = room.a_thing(case_id, text="one"), room.a_thing(case_id, text="other")
    theirs = room.things.rows.find_one({"_id": other.id}) or {}
    room.things.rows.update_one({"_id": one.id}, {"$set": {"personal": theirs["personal"]}})
    assert room.things.get(one.id) is None
    assert room.things.of_case(case_id) == [other]
    # It still counts, and still goes.
    assert room.things.found(case_id) == 2
    assert room.things.delete(case_id) == 2
    assert room.things.remaining(case_id) == 0


def test_an_orphan_is_passed_over_in_lists_counted_and_removed(room: Room) -> None:
    case_id, other = room.a_case(), room.a_case()
    thing, asked = room.a_thing(case_id), room.an_asked(case_id)
    room.vault.destroy_key(case_id)
    # As another process would find it: this one keeps opened keys for five seconds.
    fresh = Vault(room.unit_of_work.client, room.unit_of_work.vault_db.name, KEY)
    stores = opened(room.unit_of_work, fresh)
    things, requests = stores["things"], stores["asked"]
    assert things.get(thing.id) is None
    assert things.of_case(case_id) == []
    assert things.find({"kind": "wish", "case_id": {"$in": [case_id, other]}}, limit=10) == []
    assert things.found(case_id) == things.remaining(case_id) == 1
    # A stripped store's row is still true without its personal part.
    assert requests.get(asked.id) == replace(asked, personal=None)
    assert requests.remaining(case_id) == 1
    assert requests.delete(case_id) == things.delete(case_id) == 1
    assert requests.remaining(case_id) == things.remaining(case_id) == 0
    assert requests.get(asked.id) is not None


def test_stripping_leaves_what_is_sealed_under_a_key_of_its_own(room: Room) -> None:
    case_id, id = room.a_case(), new_id()
    room.vault.create_key(f"request:{id}")
    new = Asked(id=id, case_id=case_id, personal={"text": "Zoë"}, own_key=True)
    apart = room.unit_of_work.run(lambda tx: room.asked.add(new, tx=tx))
    with_case = room.an_asked(case_id)
    assert room.asked.found(case_id) == 1
    assert room.asked.delete(case_id) == 1
    room.vault.destroy_key(case_id)
    assert room.asked.get(apart.id) == apart
    assert room.asked.get(with_case.id) == replace(with_case, personal=None)


def test_a_change_needs_the_version_that_was_read(room: Room) -> None:
    thing = room.a_thing(room.a_case())
    newer = room.unit_of_work.run(lambda tx: room.things.save(replace(thing, count=2, text="Zoé"), tx=tx))
    assert (newer.version, newer.text) == (2, "Zoé")
    for late in (room.things.save, room.things.save_clear, room.things.remove):
        with pytest.raises(Changed):
            room.unit_of_work.run(lambda tx, late=late: late(replace(thing, count=3), tx=tx))
    assert room.things.get(thing.id) == newer
    # Clear fields alone: the sealed part stays as it is, whatever the item says of it
    clear = room.unit_of_work.run(lambda tx: room.things.save_clear(replace(newer, count=4, text="lost"), tx=tx))
    assert room.things.get(thing.id) == replace(clear, text="Zoé")
    room.unit_of_work.run(lambda tx: room.things.remove(clear, tx=tx))
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
    register = Register(room.unit_of_work, room.vault)
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


# Gates


def test_a_gate_lets_in_by_its_state_and_opens_again_only_from_frozen(room: Room) -> None:
    gates, case_id = room.unit_of_work.gates, room.a_case()
    assert gates.state(case_id) == OPEN
    room.unit_of_work.run(lambda tx: gates.freeze(tx.session, case_id))
    assert gates.state(case_id) == FROZEN
    with pytest.raises(Frozen):
        room.unit_of_work.run(lambda tx: tx.enter(case_id))
    room.unit_of_work.run(lambda tx: tx.enter(case_id, frozen_too=True))
    room.unit_of_work.run(lambda tx: gates.release(tx.session, case_id))
    assert gates.state(case_id) == OPEN
    room.unit_of_work.run(lambda tx: gates.close(tx.session, case_id))
    for move in (gates.release, gates.freeze):
        room.unit_of_work.run(lambda tx, move=move: move(tx.session, case_id))
        assert gates.state(case_id) == CLOSED
    for frozen_too in (False, True):
        with pytest.raises(Erased):
            room.unit_of_work.run(lambda tx, frozen_too=frozen_too: tx.enter(case_id, frozen_too=frozen_too))
    with pytest.raises(NotFound):
        room.unit_of_work.run(lambda tx: tx.enter(new_id()))


def test_a_closed_gate_gets_no_key_however_often_it_is_prepared(room: Room) -> None:
    heard, unheard = room.a_case(), new_id()
    for case_id in (heard, unheard):
        room.unit_of_work.run(lambda tx, case_id=case_id: room.unit_of_work.gates.close(tx.session, case_id))
        room.vault.destroy_key(case_id)
        room.unit_of_work.gates.prepare(room.vault, [case_id])
        assert not room.vault.has_key(case_id)
        with pytest.raises(KeyGone):
            room.vault.seal({"text": "x"}, case_id)
        assert room.unit_of_work.gates.state(case_id) == CLOSED
