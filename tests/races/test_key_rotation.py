"""A rotation of the key tree, killed between any two calls to the world outside, while others write and rotate.

Nothing becomes unreadable that should be readable, and nothing stays readable that shouldn't: not with the roots that
are left, and every version of the tree and of the wrapped keys that there ever was.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import structlog
from pymongo.errors import PyMongoError

from deploy.local.stack import Stack
from shared.clock import utc_now
from shared.db.keys.errors import KeyGone, KeysAway
from shared.db.keys.roots import PlaceAway
from shared.db.keys.rotation import Rotation
from shared.db.transactions import transact
from shared.erasure.named_keys import ROTATE_STEP
from shared.errors import Temporary
from shared.ids import new_id
from tests.races.key_rig import CONTEXT, Rig, a_rig, a_zygote, said

pytestmark = pytest.mark.xdist_group("rotation")


@pytest.fixture
def rig(stack: Stack, worker_id: str) -> Iterator[Rig]:
    with a_rig(stack, worker_id) as made:
        yield made


@pytest.fixture
def zygote(rig: Rig) -> Iterator[subprocess.Popen[str]]:
    with a_zygote(rig) as process:
        yield process


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
        answer = said(zygote, str(at))
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
            kept[name] = mine.seal({"of": name}, name, CONTEXT)

    def read() -> None:
        mine = rig.fresh()
        while not over.is_set():
            for name, sealed in list(kept.items())[-20:]:
                mine.drop(name)
                try:
                    if mine.open(sealed, CONTEXT) != {"of": name}:
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


@pytest.mark.parametrize("damage", ["short", "altered", "empty"])
@pytest.mark.parametrize("damaged", [0, 1])
def test_a_damaged_root_in_either_place_is_passed_over_and_mended(rig: Rig, damaged: int, damage: str) -> None:
    kept = rig.make("kept")
    (path,) = rig.places[damaged].glob("*.root")
    root = path.read_bytes()
    path.write_bytes({"short": root[:5], "altered": bytes([root[0] ^ 1]) + root[1:], "empty": b""}[damage])
    # Given that a process that has just started goes on with the other place's, and writes
    assert rig.opens("kept", kept["kept"])
    kept |= rig.make("written since")
    # When the worker looks after its keys, Then it raises the alarm and makes another root
    worker = rig.worker()
    with structlog.testing.capture_logs() as logs:
        worker.keys.look_after(utc_now())
    assert [one["event"] for one in logs] == ["keys.place_without_root"]
    assert worker.unit_of_work.db["steps"].count_documents({"kind": ROTATE_STEP}) == 1
    worker.rotate()
    # Then either place alone opens everything, and the worker is content
    (one,), (other,) = (list(place.glob("*.root")) for place in rig.places)
    assert one.name == other.name != path.name
    assert one.read_bytes() == other.read_bytes()
    assert rig.lost_of(kept) == []
    with structlog.testing.capture_logs() as logs:
        worker.keys.look_after(utc_now())
    assert logs == []


def test_where_no_place_has_a_root_that_opens_nothing_is_destroyed(rig: Rig) -> None:
    kept = rig.make("kept")
    paths = [path for place in rig.places for path in place.glob("*.root")]
    root = paths[0].read_bytes()
    for path in paths:
        path.write_bytes(root[:5])
    rig.doom("kept")
    for act in (rig.fresh, rig.rotate):
        with pytest.raises(KeysAway):
            act()
    # Then the root's return is enough
    for path in paths:
        path.write_bytes(root)
    rig.rotate()
    assert not rig.opens("kept", kept["kept"])


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
