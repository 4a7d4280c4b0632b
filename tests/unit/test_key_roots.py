"""Where roots are kept: whole in every place, also where two processes begin at once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from shared.db.keys.roots import ROOT_BYTES, Folders, PlaceAway, RootMissing, new_root


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    found = tmp_path / "one", tmp_path / "other"
    for place in found:
        place.mkdir()
    return found


def test_two_processes_that_begin_at_once_agree_on_one_root(places: tuple[Path, Path]) -> None:
    for number in range(50):
        made: list[bytes] = []
        together = threading.Barrier(2)

        def begin(id: str = f"{number}", made: list[bytes] = made, together: threading.Barrier = together) -> None:
            together.wait()
            made.append(Folders(places).create(id, new_root()[1]))

        threads = [threading.Thread(target=begin) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(made)) == 1
        assert len(made) == 2
        assert {(place / f"{number}.root").read_bytes() for place in places} == set(made)


def test_a_root_that_is_destroyed_is_overwritten_and_gone(places: tuple[Path, Path]) -> None:
    folders, (id, root) = Folders(places), new_root()
    folders.create(id, root)
    # Given a second name of one of its files, as a thief with the disk has the blocks
    (places[0] / "copy").hardlink_to(places[0] / f"{id}.root")
    folders.destroy(id)
    assert (places[0] / "copy").read_bytes() == bytes(ROOT_BYTES)
    assert folders.ids() == set()
    with pytest.raises(RootMissing):
        folders.copies(id)
    # Once more is no error: a crash may repeat it
    folders.destroy(id)


def test_one_place_is_enough_to_read_and_not_to_destroy(places: tuple[Path, Path]) -> None:
    folders, (id, root) = Folders(places), new_root()
    folders.begin("a-store")
    folders.create(id, root)
    places[0].rename(places[0].with_name("away"))
    assert (folders.copies(id), folders.identity()) == ([root], "a-store")
    for act in (folders.ids, lambda: folders.destroy(id), lambda: folders.is_whole(id)):
        with pytest.raises(PlaceAway):
            act()


def test_nothing_but_its_owner_reads_a_root(places: tuple[Path, Path]) -> None:
    folders, (id, root) = Folders(places), new_root()
    folders.begin("a-store")
    folders.create(id, root)
    assert {path.stat().st_mode & 0o777 for place in places for path in place.iterdir()} == {0o600}


@pytest.mark.parametrize("damage", [b"", b"short", bytes(ROOT_BYTES)])
def test_a_copy_that_was_damaged_is_told_from_a_whole_one(places: tuple[Path, Path], damage: bytes) -> None:
    folders, (id, root) = Folders(places), new_root()
    folders.create(id, root)
    assert folders.is_whole(id)
    for number, place in enumerate(places):
        (place / f"{id}.root").write_bytes(damage)
        assert not folders.is_whole(id)
        assert folders.copies(id)[number] == damage
        assert folders.copies(id)[1 - number] == root
        (place / f"{id}.root").write_bytes(root)
