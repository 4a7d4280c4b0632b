"""Several processes at one key tree: two that rotate it, one that starts before there is one, and a thief's."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from deploy.local.stack import Stack
from shared.db.keys.errors import NoTreeYet
from shared.db.keys.roots import Folders
from shared.db.keys.rotation import Rotation
from shared.db.keys.tree import DoesNotOpen, Row, open_tree
from shared.db.keys.vault import Vault
from shared.db.transactions import transact
from shared.db.unit_of_work import UnitOfWork, connect
from shared.errors import Temporary
from shared.ids import new_id

pytestmark = pytest.mark.xdist_group("key-processes")
_CONTEXT = b"where it stands"


@pytest.fixture
def new_vaults(stack: Stack) -> Iterator[tuple[Vault, Vault]]:
    """The vault of a new database, as two processes have it that haven't started it."""
    names = f"ra{new_id()[-8:]}".replace("-", "")
    provided = stack.provision(names)
    places = [Path(place) for place in provided.env["case"]["FMN_ROOTS"].split(",")]
    client = connect((provided.secrets["case"] / "mongo-url").read_text())
    one, other = (UnitOfWork(client, names=names, service="case", roots=Folders(places)).vault for _ in range(2))
    yield one, other
    client.close()
    stack.deprovision(names)


@pytest.fixture
def vaults(new_vaults: tuple[Vault, Vault]) -> tuple[Vault, Vault]:
    for vault in new_vaults:
        vault.start()
    return new_vaults


def test_a_rotation_that_stood_still_destroys_no_root_of_a_later_one(
    vaults: tuple[Vault, Vault], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a key that is kept and one that is doomed
    slow, quick = vaults
    transact(slow.client, lambda session: slow.make(["kept", "doomed"], session))
    sealed = slow.seal({"of": "kept"}, "kept", _CONTEXT)
    transact(slow.client, lambda session: slow.doom("doomed", session))
    # When a rotation stands still just after it read which root the tree names, and another runs meanwhile
    raise_fence = Rotation._raise_fence
    stood_still = []

    def stand_still(rotation: Rotation) -> Row:
        document = raise_fence(rotation)
        if rotation._vault is slow and not stood_still:
            stood_still.append(document)
            Rotation(quick).run(every_bucket=True)
        return document

    monkeypatch.setattr(Rotation, "_raise_fence", stand_still)
    with suppress(Temporary):
        Rotation(slow).run()
    # Then the tree's root is there, in every place, and what is kept opens
    slow.tree(fresh=True)
    assert slow.roots.is_whole(slow.document()["root"])
    assert slow.open(sealed, _CONTEXT) == {"of": "kept"}


def test_a_process_that_may_not_write_the_roots_waits_for_the_one_that_makes_the_tree(
    new_vaults: tuple[Vault, Vault], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an api, whose folders are mounted read-only, and no worker
    api, worker = new_vaults
    monkeypatch.setattr(api.roots, "is_writable", lambda: False)
    with pytest.raises(NoTreeYet, match="its worker makes one at its first start"):
        api.start(wait_seconds=0.5)
    assert api.trees.count_documents({}) == 0
    # When the worker comes up a little later, Then the api starts
    later = threading.Timer(0.5, worker.start)
    later.start()
    api.start(wait_seconds=30)
    later.join()
    assert api.tree() == worker.tree()


def test_a_place_that_was_lost_gets_a_root_and_the_stores_id_again(vaults: tuple[Vault, Vault]) -> None:
    # Given a disk of roots that was replaced by an empty one
    vault, _ = vaults
    first, second = (path.parent for path in _files(vault) if path.name == "store")
    for path in first.iterdir():
        path.unlink()
    # When the worker looks after its keys, which asks for a rotation although nothing is doomed
    assert Rotation(vault).run() is not None
    # Then the second disk may be lost next
    for path in second.iterdir():
        path.unlink()
    vault.start()
    assert vault.tree(fresh=True).root == vault.document()["root"]
    assert {path.stat().st_mode & 0o777 for path in first.iterdir()} == {0o600}


def test_what_a_thief_opens_with_a_copy_of_the_database_and_the_roots(vaults: tuple[Vault, Vault]) -> None:
    # Given a family that stays and one that is to be forgotten
    vault, _ = vaults
    transact(vault.client, lambda session: vault.make(["stays", "goes"], session))

    def copy() -> tuple[Row, list[Row], dict[str, bytes]]:
        """The tree's document, the wrapped keys, and the roots that the folders have."""
        return vault.document(), list(vault.keys.find()), {id: vault.roots.copies(id)[0] for id in vault.roots.ids()}

    def opened(document: Row, rows: list[Row], roots: Iterable[bytes]) -> set[str]:
        found = set()
        for root in roots:
            with suppress(DoesNotOpen):
                tree = open_tree("case", document, root)
                found |= {row["_id"] for row in rows if tree.unwrap(row)}
        return found & {"stays", "goes"}

    document, rows, roots = copy()
    # A copy of database and roots of one moment opens what was there at that moment
    assert opened(document, rows, roots.values()) == {"stays", "goes"}
    # A copy of the database alone opens nothing
    assert opened(document, rows, ()) == set()
    # When the one is forgotten
    transact(vault.client, lambda session: vault.doom("goes", session))
    Rotation(vault).run()
    document_now, rows_now, roots_now = copy()
    # Then an old copy of the database opens nothing with the roots that there are now
    assert opened(document, rows, roots_now.values()) == set()
    # And neither do old wrapped keys under the new tree, nor new ones under the old root
    assert opened(document_now, [row for row in rows if row["_id"] == "goes"], roots_now.values()) == set()
    assert opened(document_now, rows_now, roots.values()) == set()
    # While database and roots of now open what stays
    assert opened(document_now, rows_now, roots_now.values()) == {"stays"}


def _files(vault: Vault) -> list[Path]:
    assert isinstance(vault.roots, Folders)
    return [path for place in vault.roots._places for path in place.iterdir()]
