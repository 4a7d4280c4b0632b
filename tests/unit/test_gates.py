"""Gates, on a real MongoDB: whom they let in, that their key comes with them, and who can open them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local.stack import Stack
from shared.db.gates import CLOSED, FROZEN, OPEN
from shared.db.keys.errors import Altered, KeyGone
from shared.db.unit_of_work import Tx
from shared.errors import Erased, Frozen, NotFound
from shared.ids import new_id
from tests.unit.stores_rig import Room, Thing, a_room


@pytest.fixture(scope="module")
def room(stack: Stack, worker_id: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with a_room(stack, f"gates{worker_id}", tmp_path_factory.mktemp("roots")) as opened:
        yield opened


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


def test_a_closed_gate_gets_no_key_whoever_comes_late(room: Room) -> None:
    gates, heard, unheard = room.unit_of_work.gates, room.a_case(), new_id()
    for case_id in (heard, unheard):
        room.unit_of_work.run(lambda tx, case_id=case_id: gates.close(tx.session, case_id))
        room.loses_key(case_id)
        gates.make_if_unknown(case_id)
        with pytest.raises(Erased):
            room.unit_of_work.run(lambda tx, case_id=case_id: tx.enter_or_open(case_id))
        assert not room.vault.has_key(case_id)
        with pytest.raises(KeyGone):
            room.vault.seal({"text": "x"}, case_id, b"")
        assert gates.state(case_id) == CLOSED


def test_gate_and_key_are_made_together_or_not_at_all(room: Room) -> None:
    case_id = new_id()

    def die(tx: Tx) -> None:
        tx.open_gate(case_id)
        room.things.add(Thing(id=case_id, case_id=case_id), tx=tx)
        raise Frozen("something went wrong")

    with pytest.raises(Frozen):
        room.unit_of_work.run(die)
    assert not room.vault.has_key(case_id)
    assert room.unit_of_work.gates.state(case_id) is None
    assert room.things.found(case_id) == 0


@pytest.mark.parametrize("state", [FROZEN, CLOSED])
def test_a_gate_that_was_opened_in_the_database_lets_nobody_in(room: Room, state: str) -> None:
    gates, case_id, other = room.unit_of_work.gates, room.a_case(), room.a_case()
    move = gates.freeze if state == FROZEN else gates.close
    room.unit_of_work.run(lambda tx: move(tx.session, case_id))
    # Not even with what another case's open gate has
    theirs = gates.rows.find_one({"_id": other}) or {}
    for change in ({"state": OPEN}, {"state": OPEN, "mac": theirs["mac"]}):
        gates.rows.update_one({"_id": case_id}, {"$set": change})
        for ask in (lambda: gates.state(case_id), lambda: gates.states([case_id])):
            with pytest.raises(Altered):
                ask()
        with pytest.raises(Altered):
            room.unit_of_work.run(lambda tx: tx.enter(case_id))

        def held(tx: Tx) -> None:
            with gates.holding(tx.session, [case_id]):
                raise AssertionError("it was let in")

        with pytest.raises(Altered):
            room.unit_of_work.run(held)
