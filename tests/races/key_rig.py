"""One service's vault and everything that a thief may have copied of it, and a process whose children die in it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.local.provision import Provision
from deploy.local.stack import Stack
from shared.db.keys.errors import KeyGone
from shared.db.keys.roots import Folders
from shared.db.keys.rotation import Rotation
from shared.db.keys.tree import DoesNotOpen, Tree, open_tree
from shared.db.keys.vault import Vault
from shared.db.transactions import transact
from shared.db.unit_of_work import UnitOfWork, connect
from shared.ids import new_id
from tests.races.case_stores import Opened, open_case_service

SERVICE = "case"
CONTEXT = b"where it stands"


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
        return {name: self.vault.seal({"of": name}, name, CONTEXT) for name in names}

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
            return fresh.open(sealed, CONTEXT) == {"of": name}
        except KeyGone:
            return False

    def lost_of(self, kept: Mapping[str, bytes]) -> list[str]:
        """Which of these a process that has just started can't open."""
        fresh, lost = self.fresh(), []
        for name, sealed in kept.items():
            try:
                assert fresh.open(sealed, CONTEXT) == {"of": name}
            except KeyGone:
                lost.append(name)
        return lost

    def fresh(self) -> Vault:
        """The vault as a process sees it that has just started."""
        folders = Folders(self.places)
        vault = Vault(self.vault.client, self.vault.keys.database.name, service=SERVICE, roots=folders)
        vault.start()
        return vault

    def worker(self) -> Opened:
        """A worker of the service that has just started."""
        return open_case_service(self.vault.client, self.provided.prefix, self.places)

    def stolen(self, name: str, sealed: bytes) -> bool:
        """Whether a thief opens it with every copy, and the roots that any place still has."""
        opened: list[Tree] = []
        for document in self.trees.values():
            for place in self.places:
                for path in place.iterdir():
                    with suppress(DoesNotOpen, ValueError):
                        opened.append(open_tree(SERVICE, document, path.read_bytes()))
        for (owner, _), row in self.rows.items():
            for tree in opened if owner == name else ():
                with suppress(DoesNotOpen):
                    tree.unwrap(row)
                    return True
        return False


@contextmanager
def a_rig(stack: Stack, worker_id: str) -> Iterator[Rig]:
    names = f"rot{worker_id}x{new_id()[-6:]}".replace("-", "")
    provided = stack.provision(names)
    places = tuple(Path(place) for place in provided.env[SERVICE]["FMN_ROOTS"].split(","))
    client = connect((provided.secrets[SERVICE] / "mongo-url").read_text())
    unit_of_work = UnitOfWork(client, names=names, service=SERVICE, roots=Folders(places))
    unit_of_work.vault.start()
    unit_of_work.vault.prepare()
    yield Rig(provided, places, unit_of_work.vault)
    client.close()


@contextmanager
def a_zygote(rig: Rig) -> Iterator[subprocess.Popen[str]]:
    """`tests.races.rotating` of this rig."""
    url = (rig.provided.secrets[SERVICE] / "mongo-url").read_text()
    command = [sys.executable, "-m", "tests.races.rotating", url, rig.provided.prefix]
    process = subprocess.Popen(
        [*command, ",".join(map(str, rig.places))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.stdin.close()  # type: ignore[union-attr]
    process.wait(30)


def said(zygote: subprocess.Popen[str], line: str) -> str:
    """What it answers to a line."""
    print(line, file=zygote.stdin, flush=True)
    return zygote.stdout.readline().strip()  # type: ignore[union-attr]
