"""Stores and their register, on a real MongoDB: closed lists, sealed parts, orphans, and what an erasure leaves."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from bson import encode

from deploy.local.provision import Provision
from shared.clock import utc_now
from shared.db import Collection, Disposal, Register
from shared.db.gates import CLOSED, FROZEN, OPEN
from shared.db.unit_of_work import Tx, UnitOfWork, connect
from shared.db.vault import KeyGone, Vault
from shared.errors import Changed, Erased, Frozen, NotFound
from shared.fields import Count, Id, Name, Optional, Time, one_of
from shared.ids import new_id

CLEAR = {"kind": one_of("wish", "note"), "of": Optional(Id()), "count": Count(), "at": Time()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """One service's databases in this process, with a store of each disposal."""

    unit_of_work: UnitOfWork
    vault: Vault
    register: Register
    things: Collection
    asked: Collection
    late: Collection

    def a_case(self) -> str:
        case_id = new_id()
        self.unit_of_work.gates.prepare(self.vault, [case_id])
        return case_id

    def a_thing(
        self, case_id: str, store: Collection | None = None, *, key: str | None = None, text: str = "Zoë"
    ) -> str:
        thing = new_id()

        def act(tx: Tx) -> None:
            tx.enter(case_id)
            (store or self.things).insert(
                tx, id=thing, case_id=case_id, clear=clear(), personal={"text": text}, key=key
            )

        self.unit_of_work.run(act)
        return thing


def clear(**changed: Any) -> dict[str, Any]:
    return {"kind": "wish", "of": None, "count": 1, "at": utc_now(), **changed}


@pytest.fixture(scope="module")
def room(provided: Provision) -> Iterator[Room]:
    client = connect((provided.secrets["case"] / "mongo-url").read_text().strip())
    # Beside the service's own: the same account, other collections and a vault key of this test's.
    unit_of_work = UnitOfWork(client, names=provided.prefix, service="case")
    unit_of_work.gates.rows = unit_of_work.db["unit_gates"]
    vault = Vault(client, unit_of_work.vault_db.name, {"local:1": {"key": os.urandom(96)}})
    register = Register(unit_of_work, vault)
    yield Room(
        unit_of_work=unit_of_work,
        vault=vault,
        register=register,
        things=register.collection("unit_things", clear=CLEAR, disposal=Disposal.ERASE),
        asked=register.collection("unit_asked", clear=CLEAR, disposal=Disposal.STRIP),
        late=register.collection("unit_late", clear=CLEAR, disposal=Disposal.LATE),
    )
    for name in ("unit_things", "unit_asked", "unit_late", "unit_gates", "unit_kept"):
        unit_of_work.db[name].drop()
    client.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Zoë"},
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
def test_a_clear_field_off_the_closed_list_or_of_another_type_is_refused(room: Room, wrong: dict[str, Any]) -> None:
    case_id = room.a_case()
    with pytest.raises(ValueError, match="doesn't keep in clear") as refused:
        room.unit_of_work.run(lambda tx: room.things.insert(tx, id=new_id(), case_id=case_id, clear=clear(**wrong)))
    assert "Featherstonehaugh" not in str(refused.value)
    assert room.things.rows.count_documents({"case_id": case_id}) == 0
    thing = room.things.get(room.a_thing(case_id))
    assert thing is not None
    for change in (
        lambda tx: room.things.change(tx, thing, clear=wrong),
        lambda tx: room.things.change_clear(tx, id=thing.id, version=1, clear=wrong),
    ):
        with pytest.raises(ValueError, match="doesn't keep in clear"):
            room.unit_of_work.run(change)
    assert room.things.get(thing.id) == thing


def test_a_missing_clear_field_is_refused_but_an_optional_one_may_be_absent(room: Room) -> None:
    case_id = room.a_case()
    with pytest.raises(ValueError, match="count"):
        room.unit_of_work.run(
            lambda tx: room.things.insert(tx, id=new_id(), case_id=case_id, clear={"kind": "wish", "at": tx.now})
        )
    without = {name: value for name, value in clear().items() if name != "of"}
    room.unit_of_work.run(lambda tx: room.things.insert(tx, id=new_id(), case_id=case_id, clear=without))


def test_what_is_personal_is_nowhere_in_the_row(room: Room) -> None:
    secret = "Żaneta Featherstonehaugh-Łukasik"
    thing = room.a_thing(room.a_case(), text=secret)
    row = room.things.rows.find_one({"_id": thing})
    assert row is not None
    raw = encode(row)
    for form in (secret.encode(), secret.encode("utf-16-le"), base64.b64encode(secret.encode())[4:-4], b"Feathersto"):
        assert form not in raw
    record = room.things.get(thing)
    assert record is not None
    assert record.personal == {"text": secret}


def test_the_sealed_part_of_one_record_is_not_opened_in_another(room: Room) -> None:
    case_id = room.a_case()
    one, other = room.a_thing(case_id, text="one"), room.a_thing(case_id, text="other")
    rows = room.things.rows
    ours, theirs = rows.find_one({"_id": one}), rows.find_one({"_id": other})
    assert ours is not None
    assert theirs is not None
    rows.update_one({"_id": one}, {"$set": {"personal": theirs["personal"]}})
    assert room.things.get(one) is None
    assert [record.id for record in room.things.of_case(case_id)] == [other]
    # It still counts, and still goes.
    assert room.things.found(case_id) == 2
    assert room.things.delete(case_id) == 2
    assert room.things.remaining(case_id) == 0


def test_an_orphan_is_passed_over_in_lists_counted_and_removed(room: Room) -> None:
    case_id, other = room.a_case(), room.a_case()
    thing, asked = room.a_thing(case_id), room.a_thing(case_id, room.asked)
    room.vault.destroy_key(case_id)
    # As another process would find it: this one keeps opened keys for five seconds.
    fresh = Vault(room.unit_of_work.client, room.unit_of_work.vault_db.name, {"local:1": {"key": os.urandom(96)}})
    register = Register(room.unit_of_work, fresh)
    things = register.collection("unit_things", clear=CLEAR, disposal=Disposal.ERASE)
    requests = register.collection("unit_asked", clear=CLEAR, disposal=Disposal.STRIP)
    assert things.get(thing) is None
    assert things.of_case(case_id) == []
    assert things.find({"kind": "wish", "case_id": {"$in": [case_id, other]}}, limit=10) == []
    assert things.found(case_id) == things.remaining(case_id) == 1
    # A stripped store's row is still true without its personal part.
    left = requests.get(asked)
    assert left is not None
    assert left.personal == {}
    assert requests.remaining(case_id) == 1
    assert requests.delete(case_id) == things.delete(case_id) == 1
    assert requests.remaining(case_id) == things.remaining(case_id) == 0
    assert requests.get(asked) is not None


def test_stripping_leaves_what_is_sealed_under_a_key_of_its_own(room: Room) -> None:
    case_id, own = room.a_case(), f"request:{new_id()}"
    room.vault.create_key(own)
    sealed_with_case, sealed_apart = room.a_thing(case_id, room.asked), room.a_thing(case_id, room.asked, key=own)
    assert room.asked.found(case_id) == 1
    assert room.asked.delete(case_id) == 1
    room.vault.destroy_key(case_id)
    kept, stripped = room.asked.get(sealed_apart), room.asked.get(sealed_with_case)
    assert kept is not None
    assert stripped is not None
    assert kept.personal == {"text": "Zoë"}
    assert stripped.personal == {}


def test_a_change_needs_the_version_that_was_read(room: Room) -> None:
    thing = room.things.get(room.a_thing(room.a_case()))
    assert thing is not None
    newer = room.unit_of_work.run(lambda tx: room.things.change(tx, thing, clear={"count": 2}))
    assert (newer.version, newer.personal) == (2, {"text": "Zoë"})
    for late in (
        lambda tx: room.things.change(tx, thing, clear={"count": 3}),
        lambda tx: room.things.change_clear(tx, id=thing.id, version=1, clear={"count": 3}),
        lambda tx: room.things.remove(tx, thing),
    ):
        with pytest.raises(Changed):
            room.unit_of_work.run(late)
    found = room.things.get(thing.id)
    assert found is not None
    assert found.clear["count"] == 2


def test_the_register_knows_every_store_once_and_what_becomes_of_it(room: Room) -> None:
    kept = room.register.keep("unit_kept", clear={"what": Name()}, retention=None, why="a test")
    assert [store.name for store in room.register.erased_by_a_case()] == ["unit_things", "unit_asked"]
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
