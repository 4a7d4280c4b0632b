"""Keys that somebody who died has left without a gate, on a real MongoDB: swept, and never under anybody's feet."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from deploy.local.stack import Stack
from shared.clock import utc_now
from shared.db.gates import CLOSED, OPEN
from shared.db.lost_keys import GRACE, sweep_keys
from shared.db.unit_of_work import UnitOfWork, connect
from shared.db.vault import Vault
from shared.ids import new_id
from tests.helpers import PATIENCE_SECONDS

pytestmark = pytest.mark.xdist_group("lost-keys")


class Interrupted(Vault):
    """A vault where something else happens just after a key was made, or was found."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.then: Callable[[], object] = lambda: None

    def create_key(self, name: str, *, again: bool = True) -> bool:
        made = super().create_key(name, again=again)
        then, self.then = self.then, lambda: None
        then()
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    unit_of_work: UnitOfWork
    vault: Interrupted

    def a_lost_key(self, name: str | None = None, *, age: timedelta = GRACE + timedelta(minutes=1)) -> str:
        """A key that was made that long ago, and no gate."""
        name = name or new_id()
        assert self.vault.create_key(name)
        made = {"$set": {"creationDate": utc_now() - age}}
        self.unit_of_work.vault_db["keys"].update_one({"keyAltNames": name}, made)
        return name

    def sweep(self) -> int:
        return sweep_keys(self.unit_of_work, self.vault, now=utc_now())

    def seals(self, case_id: str) -> bool:
        return self.vault.open(self.vault.seal({"text": "Zoë"}, case_id)) == {"text": "Zoë"}


@pytest.fixture(scope="module")
def room(stack: Stack, worker_id: str) -> Iterator[Room]:
    # Names on which no service runs: its worker would sweep as well, by the gates that it knows.
    provided = stack.provision(f"lost{worker_id}")
    client = connect((provided.secrets["case"] / "mongo-url").read_text().strip())
    unit_of_work = UnitOfWork(client, names=provided.prefix, service="case")
    vault = Interrupted(client, unit_of_work.vault_db.name, {"local:1": {"key": os.urandom(96)}})
    vault.prepare()
    yield Room(unit_of_work=unit_of_work, vault=vault)
    client.close()
    stack.deprovision(provided.prefix)


def test_a_key_without_a_gate_is_destroyed_after_a_day_and_leaves_nothing(room: Room) -> None:
    lost = [room.a_lost_key() for _ in range(3)]
    assert room.sweep() == 3
    assert not any(room.vault.has_key(case_id) for case_id in lost)
    assert room.unit_of_work.gates.known(lost) == set()
    assert room.sweep() == 0


def test_younger_keys_and_those_of_cases_and_of_no_case_stay(room: Room) -> None:
    young = room.a_lost_key(age=GRACE - timedelta(minutes=1))
    standing, ended = room.a_lost_key(), room.a_lost_key()
    room.unit_of_work.gates.prepare(room.vault, [standing, ended])
    room.unit_of_work.run(lambda tx: room.unit_of_work.gates.close(tx.session, ended))
    apart = [room.a_lost_key(name) for name in ("office of a test", f"request:{new_id()}", f"safeguarding:{new_id()}")]
    assert room.sweep() == 0
    assert all(room.vault.has_key(name) for name in (young, standing, ended, *apart))
    assert (room.unit_of_work.gates.state(standing), room.unit_of_work.gates.state(ended)) == (OPEN, CLOSED)


def test_who_takes_up_the_case_while_its_key_is_swept_makes_the_key_again(room: Room) -> None:
    # Given a case whose key was found by who makes its gate, and is swept before the gate is there
    case_id = room.a_lost_key()
    room.vault.then = room.sweep
    room.unit_of_work.gates.prepare(room.vault, [case_id])
    # Then it has both, and the next sweep leaves them
    assert room.unit_of_work.gates.state(case_id) == OPEN
    assert room.seals(case_id)
    assert room.sweep() == 0
    assert room.vault.has_key(case_id)


def test_a_gate_that_comes_just_before_the_key_would_go_keeps_it(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    case_id = room.a_lost_key()
    gates, known = room.unit_of_work.gates, room.unit_of_work.gates.known

    def overtaken(case_ids: set[str]) -> set[str]:
        found = known(case_ids)
        monkeypatch.undo()
        gates.prepare(room.vault, [case_id])
        return found

    monkeypatch.setattr(gates, "known", overtaken)
    assert room.sweep() == 0
    assert gates.state(case_id) == OPEN
    assert room.seals(case_id)


def test_many_that_prepare_and_many_that_sweep_leave_no_gate_without_a_key(room: Room) -> None:
    lost = [room.a_lost_key() for _ in range(60)]
    together = threading.Barrier(4)

    def prepare(case_id: str) -> bool:
        together.wait(PATIENCE_SECONDS)
        room.unit_of_work.gates.prepare(room.vault, [case_id])
        return room.seals(case_id)

    def sweep(case_id: str) -> bool:
        together.wait(PATIENCE_SECONDS)
        return room.unit_of_work.gates.forget_key(room.vault, case_id, made_before=utc_now() - GRACE) in (0, 1)

    with ThreadPoolExecutor(4) as threads:
        for case_id in lost:
            at_once = [threads.submit(act, case_id) for act in (prepare, sweep, prepare, sweep)]
            assert all(one.result() for one in at_once)
    assert {room.unit_of_work.gates.state(case_id) for case_id in lost} == {OPEN}
    assert all(room.vault.has_key(case_id) for case_id in lost)
