"""A person is deleted from a case that lives on: it gets another key, whatever dies, reads and writes meanwhile.

Nothing of the case becomes unreadable, and nothing of the deleted person stays readable: not with the roots that are
left, and every version of the tree and of the wrapped keys that there ever was.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date

import pytest
import structlog
from pymongo.errors import PyMongoError

from deploy.local.stack import Stack
from services.case.actions.people import insert_person
from services.case.model.entries import Entry
from services.case.model.people import Person
from services.case.model.search import Criterion
from services.case.store.queries import cases_by_hash
from shared.clock import utc_now
from shared.db.gates import FROZEN
from shared.db.keys.errors import Altered, KeyReplaced
from shared.db.unit_of_work import Tx, connect
from shared.erasure.case_keys import _seal_all
from shared.errors import Temporary
from shared.ids import new_id
from tests.races.case_stores import Opened, open_case_service
from tests.races.key_rig import SERVICE, Rig, a_rig, a_zygote, said

pytestmark = pytest.mark.xdist_group("case-key")
_POSTCODE = "ze91aa"


@dataclass(frozen=True, kw_only=True)
class Office:
    """One case service. `here` is a process of it; `another` opens it as one more."""

    rig: Rig
    here: Opened

    def another(self) -> Opened:
        client = connect((self.rig.provided.secrets[SERVICE] / "mongo-url").read_text())
        return open_case_service(client, self.rig.provided.prefix, self.rig.places)

    def a_case(self, *, entries: int = 0) -> str:
        case_id = new_id()
        self.here.unit_of_work.gates.make_if_unknown(case_id)
        for number in range(entries):
            add_entry(self.here, case_id, f"note {number}")
        return case_id

    def said_of(self, case_id: str) -> list[str]:
        """What a process that has just started reads of the case, in every store."""
        fresh = self.another()
        people = [one.given_name for one in fresh.stores.people.of_case(case_id)]
        forms = [one.forms["postcode"] for one in fresh.stores.search_hashes.of_case(case_id)]
        return sorted([*people, *forms, *(one.text for one in fresh.stores.entries.of_case(case_id))])

    def settle(self, case_id: str) -> None:
        """Run what waits, as the next worker would."""
        fresh = self.another()
        fresh.seal_anew(case_id)
        fresh.rotate()


@pytest.fixture
def office(stack: Stack, worker_id: str) -> Iterator[Office]:
    with a_rig(stack, worker_id) as rig:
        client = connect((rig.provided.secrets[SERVICE] / "mongo-url").read_text())
        here = open_case_service(client, rig.provided.prefix, rig.places)
        here.register.prepare()
        yield Office(rig=rig, here=here)
        client.close()


@pytest.fixture
def zygote(office: Office) -> Iterator[subprocess.Popen[str]]:
    with a_zygote(office.rig) as process:
        yield process


def add_person(opened: Opened, case_id: str, name: str, postcode: str = _POSTCODE) -> Person:
    born, address = date(1984, 2, 29), ("Flat 2", "Lerwick", postcode.upper())
    new = Person(
        id=new_id(),
        case_id=case_id,
        role="parent",
        given_name=name,
        family_name="X",
        date_of_birth=born,
        address=address,
    )

    def act(tx: Tx) -> Person:
        tx.enter(case_id)
        return insert_person(opened.stores, new, tx=tx)

    return opened.unit_of_work.run(act)


def an_entry(case_id: str, text: str) -> Entry:
    now = utc_now()
    return Entry(
        id=new_id(), case_id=case_id, kind="note", happened_at=now, recorded_at=now, recorded_by="ada", text=text
    )


def add_entry(opened: Opened, case_id: str, text: str) -> Entry:
    new = an_entry(case_id, text)

    def act(tx: Tx) -> Entry:
        tx.enter(case_id)
        return opened.stores.entries.add(new, tx=tx)

    return opened.unit_of_work.run(act)


def remove(opened: Opened, person: Person) -> None:
    def act(tx: Tx) -> None:
        tx.enter(person.case_id)
        opened.stores.people.remove(person, tx=tx)
        hashes = opened.stores.search_hashes.get(person.id, tx=tx)
        assert hashes is not None
        opened.stores.search_hashes.remove(hashes, tx=tx)

    opened.unit_of_work.run(act)


def sealed(opened: Opened, person: Person) -> tuple[str, bytes]:
    """The name of the key of this person's record, and its sealed part."""
    row = opened.stores.people.rows.find_one({"_id": person.id})
    assert row is not None
    return opened.vault.key_named_in(row["personal"]), bytes(row["personal"])


def names_in_use(opened: Opened, case_id: str) -> set[str]:
    rows = [*opened.stores.people.rows.find(), *opened.stores.entries.rows.find()]
    rows += opened.stores.search_hashes.rows.find()
    return {opened.vault.key_named_in(row["personal"]) for row in rows if row["case_id"] == case_id}


def test_killed_between_any_two_calls_the_case_opens_and_the_person_doesnt(
    office: Office, zygote: subprocess.Popen[str]
) -> None:
    here, rig = office.here, office.rig
    case_id = office.a_case(entries=3)
    add_person(here, case_id, "Zoë")
    whole = office.said_of(case_id)
    at, answer = 0, "killed"
    while answer == "killed":
        at += 1
        # Given a person who is deleted, and everything copied while they could still be read
        person = add_person(here, case_id, f"gone {at}", "zz11zz")
        name, part = sealed(here, person)
        rig.copy()
        remove(here, person)
        assert rig.stolen(name, part)
        # When what seals the case anew and destroys its old key is killed before its n-th call
        answer = said(zygote, f"{at} {case_id}")
        rig.copy()
        # Then the rest of the case is there, and can be written
        assert office.said_of(case_id) == whole, f"killed before call {at}"
        # And once the next worker is done, the person can't be read, nor their hash be made again
        office.settle(case_id)
        assert not rig.vault.is_doomed(case_id)
        assert not rig.stolen(name, part), f"killed before call {at}"
        assert office.said_of(case_id) == whole, f"killed before call {at}"
        assert names_in_use(here, case_id) == {here.unit_of_work.gates.key_now(case_id)}
        assert cases_by_hash(here.stores, Criterion.POSTCODE, _POSTCODE) == {case_id}
    assert answer.startswith("done ")
    assert at > 40


def test_a_process_that_seals_late_takes_nothing_back_under_a_key_that_is_about_to_go(office: Office) -> None:
    # Given a process that began to seal a case anew, and was overtaken: its key is the case's no more
    case_id, here = office.a_case(), office.here
    people = [add_person(here, case_id, f"gone {number}") for number in range(2)]
    remove(here, people[0])
    its_key = here.unit_of_work.gates.key_now(case_id)
    assert its_key is not None
    remove(here, people[1])
    # When something is written under the newest key, and that process goes on
    entry = add_entry(here, case_id, "written since")
    assert _seal_all(here.stores.entries, case_id, under=its_key) == 0
    # Then it is under the newest key still, and stays once the others are destroyed
    office.settle(case_id)
    assert [one.id for one in office.another().stores.entries.of_case(case_id)] == [entry.id]


def test_while_others_write_read_and_seal_nothing_is_lost_and_nothing_left(office: Office) -> None:
    case_id, over = office.a_case(entries=20), threading.Event()
    written, wrong = list[str](), list[str]()

    def again(act: Callable[[Opened, int], None]) -> Callable[[], None]:
        def run() -> None:
            mine, number = office.another(), 0
            while not over.is_set():
                number += 1
                try:
                    act(mine, number)
                except (Temporary, PyMongoError):
                    continue
                except Exception as error:  # noqa: BLE001 - told below
                    wrong.append(repr(error))

        return run

    def write(mine: Opened, number: int) -> None:
        entry = add_entry(mine, case_id, f"written {number}")
        written.append(entry.id)

        def act(tx: Tx) -> None:
            tx.enter(case_id)
            found = mine.stores.entries.get(entry.id, tx=tx)
            assert found is not None
            mine.stores.entries.save(replace(found, text="changed"), tx=tx)

        mine.unit_of_work.run(act)

    def read(mine: Opened, number: int) -> None:
        before = list(written)
        found = {one.id for one in mine.stores.entries.of_case(case_id)}
        assert found >= set(before)
        if before:
            assert mine.stores.entries.get(before[-1]) is not None

    def seal(mine: Opened, number: int) -> None:
        mine.seal_anew(case_id)

    def rotate(mine: Opened, number: int) -> None:
        mine.rotate()

    # Given writers and readers, two processes that seal the case anew, and one that rotates
    threads = [threading.Thread(target=again(act)) for act in (write, write, read, read, seal, seal, rotate)]
    for thread in threads:
        thread.start()
    # When people are deleted meanwhile
    gone = []
    for number in range(25):
        person = add_person(office.here, case_id, f"gone {number}")
        gone.append(sealed(office.here, person))
        office.rig.copy()
        remove(office.here, person)
    over.set()
    for thread in threads:
        thread.join()
    # Then everything that was written is there, under one key, and none of the deleted can be read
    assert wrong == []
    office.settle(case_id)
    entries = {one.id: one.text for one in office.another().stores.entries.of_case(case_id)}
    assert len(written) > 5
    assert set(entries) >= set(written)
    assert len(entries) == 20 + len(written)
    assert names_in_use(office.here, case_id) == {office.here.unit_of_work.gates.key_now(case_id)}
    assert [name for name, part in gone if office.rig.stolen(name, part)] == []


def test_a_writer_that_knows_the_old_key_begins_again(office: Office) -> None:
    # Given a transaction that has sealed something, and a person who is deleted before it commits
    here, other = office.here, office.another()
    case_id = office.a_case()
    person = add_person(here, case_id, "gone")
    tried = []

    def act(tx: Tx) -> None:
        if not tried:
            other.stores.people.get(person.id, tx=tx)
            other.vault.seal({"of": "the case"}, case_id, b"")
            remove(here, person)
            here.seal_anew(case_id)
        tried.append(tx)
        tx.enter(case_id)
        other.stores.entries.add(an_entry(case_id, "x"), tx=tx)

    # When it goes on
    other.unit_of_work.run(act)
    # Then what it wrote is under the new key
    assert len(tried) == 2
    assert office.said_of(case_id) == ["x"]
    assert names_in_use(here, case_id) == {f"{case_id}#2"}


def test_a_record_that_was_read_before_its_key_went_is_read_again(office: Office) -> None:
    here, case_id = office.here, office.a_case(entries=2)
    rows = list(here.stores.entries.rows.find({"case_id": case_id}))
    remove(here, add_person(here, case_id, "gone"))
    office.settle(case_id)
    here.vault.drop(case_id)
    with pytest.raises(KeyReplaced):
        here.stores.entries.records.item_of(rows[0])
    assert [one.text for row in rows if (one := here.stores.entries.item_of(row))] == ["note 0", "note 1"]


def test_an_older_row_that_is_put_back_is_refused_with_an_alarm(office: Office) -> None:
    here, case_id = office.here, office.a_case()
    entry = add_entry(here, case_id, "a note")
    row = here.stores.entries.rows.find_one({"_id": entry.id})
    assert row is not None
    remove(here, add_person(here, case_id, "gone"))
    office.settle(case_id)
    here.vault.drop(case_id)
    here.stores.entries.rows.replace_one({"_id": entry.id}, row)
    with structlog.testing.capture_logs() as logs, pytest.raises(Altered):
        here.stores.entries.get(entry.id)
    assert "record.altered" in [one["event"] for one in logs]

    # Also in a transaction, which isn't run again for ever; and sealing anew comes to its end
    def act(tx: Tx) -> None:
        tx.enter(case_id)
        here.stores.entries.get(entry.id, tx=tx)

    with pytest.raises(Altered):
        here.unit_of_work.run(act)
    remove(here, add_person(here, case_id, "gone too"))
    office.settle(case_id)


def test_while_a_record_doesnt_open_its_key_stays(office: Office) -> None:
    # Given a record in which someone has edited a field, in a case that a person is deleted from
    here, case_id = office.here, office.a_case()
    entry = add_entry(here, case_id, "a note")
    rows = here.stores.entries.rows
    rows.update_one({"_id": entry.id}, {"$set": {"kind": "wish"}})
    remove(here, add_person(here, case_id, "gone"))
    with pytest.raises(Altered):
        office.settle(case_id)
    assert here.vault.names_below(f"{case_id}#2") == [case_id]
    # When it is mended, Then the work is done
    rows.update_one({"_id": entry.id}, {"$set": {"kind": "note"}})
    office.settle(case_id)
    assert office.said_of(case_id) == ["a note"]
    assert here.vault.names_below(f"{case_id}#2") == []


def test_a_case_that_is_forgotten_halfway_loses_all_its_keys(office: Office) -> None:
    here, case_id = office.here, office.a_case(entries=2)
    person = add_person(here, case_id, "gone")
    old = sealed(here, person)
    office.rig.copy()
    remove(here, person)
    new = sealed(here, add_person(here, case_id, "later"))
    assert {old[0], new[0]} == {case_id, f"{case_id}#2"}
    office.rig.copy()
    here.unit_of_work.run(lambda tx: tx.gates.close(tx.session, case_id))
    here.unit_of_work.run(lambda tx: here.keys.doom(tx, case_id))
    here.seal_anew(case_id)
    assert here.keys.is_doomed(case_id)
    here.rotate()
    assert not here.keys.is_doomed(case_id)
    assert here.keys.destroyed(case_id) is not None
    assert not here.vault.has_key(case_id)
    assert [name for name, part in (old, new) if office.rig.stolen(name, part)] == []


def test_a_gate_that_names_another_key_lets_nobody_in(office: Office) -> None:
    here, case_id = office.here, office.a_case()
    gates = here.unit_of_work.gates
    remove(here, add_person(here, case_id, "gone"))
    here.unit_of_work.run(lambda tx: gates.freeze(tx.session, case_id))
    assert gates.state(case_id) == FROZEN
    here.unit_of_work.run(lambda tx: gates.release(tx.session, case_id))
    assert gates.key_now(case_id) == f"{case_id}#2"
    gates.rows.update_one({"_id": case_id}, {"$unset": {"key": ""}})
    for ask in (lambda: gates.state(case_id), lambda: gates.key_now(case_id)):
        with pytest.raises(Altered):
            ask()
    with suppress(Temporary), pytest.raises(Altered):
        here.unit_of_work.run(lambda tx: tx.enter(case_id))
