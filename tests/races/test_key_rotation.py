"""A rotation of the key tree, killed between any two calls to the world outside, while others write and rotate.

Nothing becomes unreadable that should be readable, and nothing stays readable that shouldn't: not with the roots that
are left, and every version of the tree and of the wrapped keys that there ever was.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pymongo.errors import PyMongoError

from deploy.local.provision import Provision
from deploy.local.stack import Stack
from shared.db.keys.errors import KeyGone, KeysAway
from shared.db.keys.roots import Folders, PlaceAway
from shared.db.keys.rotation import Rotation
from shared.db.keys.tree import DoesNotOpen, Tree, open_tree
from shared.db.keys.vault import Vault
from shared.db.transactions import transact
from shared.db.unit_of_work import UnitOfWork, connect
from shared.errors import Temporary
from shared.ids import new_id

pytestmark = pytest.mark.xdist_group("rotation")
_SERVICE = "case"
_CONTEXT = b"where it stands"


@dataclass
class Rig:
    """One service's vault, and everything that a thief may have copied of it so far."""

    provided: Provision
    places: tuple[Path, ...]
    vault: Vault
    trees: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: dict[tuple[str, bytes], dict[str, Any]] = field(default_factory=dict)

    def make(self, *names: str) -> dict[str, bytes]:
        """Keys of these names, and something sealed under each."""
        transact(self.vault.client, lambda session: self.vault.make(names, session))
        return {name: self.vault.seal({"of": name}, name, _CONTEXT) for name in names}

    def doom(self, *names: str) -> None:
        for name in names:
            transact(self.vault.client, lambda session, name=name: self.vault.doom(name, session))  # type: ignore[misc]

    def rotate(self) -> None:
        while (rotated := Rotation(self.vault).run()) is not None:
            for row in rotated.doomed:
                gone = {"gone_at": rotated.destroyed_at, "generation": rotated.generation}
                self.vault.doomed.update_one({"_id": row["_id"], "at": row["at"]}, {"$set": gone})

    def copy(self) -> None:
        """What a thief copies of the database at this moment, as the oplog would have it."""
        tree = self.vault.document()
        self.trees[str(tree["root"])] = tree
        for row in self.vault.keys.find():
            self.rows[row["_id"], bytes(row["wrapped"])] = row

    def opens(self, name: str, sealed: bytes) -> bool:
        try:
            fresh = self.fresh()
            return fresh.open(sealed, _CONTEXT) == {"of": name}
        except KeyGone:
            return False

    def lost_of(self, kept: Mapping[str, bytes]) -> list[str]:
        """Which of these a process that has just started can't open."""
        fresh, lost = self.fresh(), []
        for name, sealed in kept.items():
            try:
                assert fresh.open(sealed, _CONTEXT) == {"of": name}
            except KeyGone:
                lost.append(name)
        return lost

    def fresh(self) -> Vault:
        """The vault as a process sees it that has just started."""
        folders = Folders(self.places)
        vault = Vault(self.vault.client, self.vault.keys.database.name, service=_SERVICE, roots=folders)
        vault.start()
        return vault

    def stolen(self, name: str, sealed: bytes) -> bool:
        """Whether a thief opens it with every copy, and the roots that any place still has."""
        opened: list[Tree] = []
        for document in self.trees.values():
            for place in self.places:
                for path in place.iterdir():
                    with suppress(DoesNotOpen, ValueError):
                        opened.append(open_tree(_SERVICE, document, path.read_bytes()))
        for (owner, _), row in self.rows.items():
            for tree in opened if owner == name else ():
                with suppress(DoesNotOpen):
                    tree.unwrap(row)
                    return True
        return False


@pytest.fixture
def rig(stack: Stack, worker_id: str) -> Iterator[Rig]:
    names = f"rot{worker_id}x{new_id()[-6:]}".replace("-", "")
    provided = stack.provision(names)
    places = tuple(Path(place) for place in provided.env[_SERVICE]["FMN_ROOTS"].split(","))
    client = connect((provided.secrets[_SERVICE] / "mongo-url").read_text())
    unit_of_work = UnitOfWork(client, names=names, service=_SERVICE, roots=Folders(places))
    unit_of_work.vault.start()
    unit_of_work.vault.prepare()
    yield Rig(provided, places, unit_of_work.vault)
    client.close()


@pytest.fixture
def zygote(rig: Rig) -> Iterator[subprocess.Popen[str]]:
    url = (rig.provided.secrets[_SERVICE] / "mongo-url").read_text()
    command = [sys.executable, "-m", "tests.races.rotating", url, rig.provided.prefix, _SERVICE]
    process = subprocess.Popen(
        [*command, ",".join(map(str, rig.places))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.stdin.close()  # type: ignore[union-attr]
    process.wait(30)


def said(zygote: subprocess.Popen[str], at: int) -> str:
    print(at, file=zygote.stdin, flush=True)
    return zygote.stdout.readline().strip()  # type: ignore[union-attr]


def test_killed_between_any_two_calls_it_loses_nothing_and_leaves_nothing(
    rig: Rig, zygote: subprocess.Popen[str]
) -> None:
    kept = rig.make(*(f"kept-{number}" for number in range(40)))
    at, answer = 0, "killed"
    while answer == "killed":
        at += 1
        # Given a key that is doomed, and everything copied while it still opened
        (name,) = [f"doomed-{at}"]
        sealed = rig.make(name)[name]
        rig.copy()
        assert rig.stolen(name, sealed)
        rig.doom(name)
        # When the rotation is killed before its n-th call
        answer = said(zygote, at)
        rig.copy()
        # Then whatever is kept opens, and what is doomed doesn't
        assert rig.lost_of(kept) == [], f"killed before call {at}"
        assert not rig.opens(name, sealed)
        # And what is called destroyed is so for a thief too
        assert rig.vault.is_doomed(name) or not rig.stolen(name, sealed)
        rig.rotate()
        assert not rig.vault.is_doomed(name)
        assert not rig.stolen(name, sealed), f"killed before call {at}"
        assert rig.lost_of(kept) == [], f"killed before call {at}"
    assert answer == f"done {at - 1}"
    assert at > 30
    # Nothing but the root is left, in either place
    assert [len(list(place.glob("*.root"))) for place in rig.places] == [1, 1]


def test_while_others_write_and_rotate_nothing_is_lost(rig: Rig) -> None:
    over, lost, kept = threading.Event(), list[str](), dict[str, bytes]()

    def write() -> None:
        mine = rig.fresh()
        while not over.is_set():
            name = new_id()
            transact(mine.client, lambda session, name=name: mine.make([name], session))  # type: ignore[misc]
            kept[name] = mine.seal({"of": name}, name, _CONTEXT)

    def read() -> None:
        mine = rig.fresh()
        while not over.is_set():
            for name, sealed in list(kept.items())[-20:]:
                mine.drop(name)
                try:
                    if mine.open(sealed, _CONTEXT) != {"of": name}:
                        lost.append(name)
                except (KeyGone, KeysAway):
                    lost.append(name)

    def rotate() -> None:
        mine = Rotation(rig.fresh())
        while not over.is_set():
            with suppress(Temporary, PyMongoError):
                mine.run()

    # Given writers and readers, and two workers that both believe to be the one that rotates
    threads = [threading.Thread(target=act) for act in (write, write, read, read, rotate, rotate)]
    for thread in threads:
        thread.start()
    # When keys are doomed meanwhile
    for number in range(120):
        name = f"doomed-{number}"
        rig.make(name)
        rig.doom(name)
    over.set()
    for thread in threads:
        thread.join()
    # Then every key that wasn't is there, and the tree hangs on one root
    rig.rotate()
    assert lost == []
    assert len(kept) > 5
    assert rig.lost_of(kept) == []
    assert [len(list(place.glob("*.root"))) for place in rig.places] == [1, 1]


def test_a_slow_worker_destroys_no_root_that_a_newer_rotation_made(rig: Rig) -> None:
    kept = rig.make("kept", "doomed", "doomed too")
    rig.doom("doomed")
    slow = Rotation(rig.fresh())
    raised = slow._raise_fence

    def overtaken() -> dict[str, Any]:
        """Between raising its fence and destroying roots, another worker does a whole rotation."""
        document = raised()
        rig.rotate()
        return document

    slow._raise_fence = overtaken  # type: ignore[method-assign]
    rig.doom("doomed too")
    with suppress(Temporary):
        slow.run()
    assert rig.opens("kept", kept["kept"])


@pytest.mark.parametrize("lost", [0, 1])
def test_losing_either_place_of_the_root_loses_nothing(rig: Rig, lost: int) -> None:
    kept = rig.make("kept", "doomed")
    # Given a disk that was replaced by an empty one
    for path in rig.places[lost].iterdir():
        path.unlink()
    assert rig.opens("kept", kept["kept"])
    # When a key is destroyed after that
    rig.copy()
    rig.doom("doomed")
    rig.rotate()
    # Then both places have the root again, and nothing is lost
    assert [len(list(place.glob("*.root"))) for place in rig.places] == [1, 1]
    assert rig.opens("kept", kept["kept"])
    assert not rig.stolen("doomed", kept["doomed"])


def test_while_a_place_is_away_nothing_is_called_destroyed(rig: Rig) -> None:
    kept = rig.make("kept", "doomed")
    away = rig.places[1].with_name("away")
    rig.places[1].rename(away)
    rig.doom("doomed")
    with pytest.raises(PlaceAway, match="roots-2"):
        rig.rotate()
    assert rig.vault.is_doomed("doomed")
    assert rig.opens("kept", kept["kept"])
    away.rename(rig.places[1])
    rig.rotate()
    assert not rig.vault.is_doomed("doomed")
    assert rig.opens("kept", kept["kept"])
