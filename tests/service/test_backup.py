"""`forgetmenot backup` on real servers, while the services run: what the archives hold, and what they don't."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.backup import catalogue, keys, snapshot
from deploy.backup.archives import Reader
from deploy.backup.errors import BadArchive
from deploy.backup.installation import Installation, opened
from deploy.local.mongo import SNAPSHOT_SECONDS, admin_client
from deploy.local.stack import Stack
from shared.db.keys.roots import Folders, RootMissing
from shared.db.keys.rotation import Rotation
from shared.db.keys.tree import open_tree
from shared.db.unit_of_work import UnitOfWork
from shared.events import SERVICES
from shared.ledger import read_head
from shared.security.signing import PublicKeys
from tests.operator_commands import variables_of
from tests.service.backup_rig import Rig, a_rig

pytestmark = pytest.mark.xdist_group("backup")


@pytest.fixture(scope="module")
def rig(stack: Stack) -> Iterator[Rig]:
    with a_rig(stack) as opened_rig:
        yield opened_rig


@pytest.fixture
def installation(rig: Rig) -> Iterator[Installation]:
    with opened(rig.provided.env) as found:
        yield found


def test_a_backup_holds_every_record_and_object_and_the_ledgers_head_but_no_key(rig: Rig, tmp_path: Path) -> None:
    # Given a family with a scan, in an open case
    case_id = rig.system.an_open_case()
    person = rig.system.a_person(case_id)
    scan = rig.system.a_scan(case_id).json()
    # When the operator backs up, while the services run
    data, archive = rig.backed_up(tmp_path / "backups")
    # Then both files are the owner's alone, and nothing half-written is beside them
    assert {path.stat().st_mode & 0o777 for path in data.folder.iterdir()} == {0o600}
    assert {path.name for path in data.folder.iterdir()} == {data.name, archive.name, ".lock"}
    # And the data archive has every collection of every service, as its manifest says
    with data.path.open("rb") as file:
        reader = Reader(file, data.name)
        reader.check()
        held = {document["_id"] for document in reader.documents("case/people.bson")}
        assert person["id"] in held
        assert reader.count("case/people.bson") == len(held)
        assert any(name == f"document/objects/{case_id}/{scan['id']}/1" for name in reader.names)
        assert not [name for name in reader.names if name.split("/")[-1] in ("tree.bson", "keys.bson", "doomed.bson")]
        assert "case/vault/search_hashes.bson" in reader.names
        public = PublicKeys.load(rig.provided.public_keys)
        assert read_head(reader.manifest["ledger_head"], public).at == data.began_at
        # Nothing personal, and no root or key, lies in it in clear
        content = data.path.read_bytes()
    roots = [path.read_bytes() for place in rig.provided.run.glob("roots-*/*") for path in place.glob("*.root")]
    assert len(roots) == 2 * len(SERVICES)
    for secret in (*roots, b"Okonkwo", b"zaneta.okonkwo@family.example"):
        assert secret not in content
        assert secret not in archive.path.read_bytes()
    # And the archive of keys opens, with the identity alone
    keys.opened(archive, rig.identity)
    other = tmp_path / "other"
    assert rig.run("backup-key", str(other)).exit_code == 0
    with pytest.raises(BadArchive, match="was made for another key"):
        keys.opened(archive, other)


@contextmanager
def window_of(stack: Stack, seconds: int) -> Iterator[None]:
    """How long the server keeps a moment, while this lasts."""
    with admin_client(stack.places, stack.ports) as client:
        before = client.admin.command("getParameter", minSnapshotHistoryWindowInSeconds=1)
        client.admin.command("setParameter", 1, minSnapshotHistoryWindowInSeconds=seconds)
        try:
            yield
        finally:
            kept = before["minSnapshotHistoryWindowInSeconds"]
            client.admin.command("setParameter", 1, minSnapshotHistoryWindowInSeconds=kept)
            assert kept == SNAPSHOT_SECONDS


def test_all_databases_are_of_one_moment(
    rig: Rig, installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Given cases that are opened all the while, each of which is written by two services in two databases
    documents = snapshot.documents
    made: list[str] = []

    def slow(client: Any, database: str, collection: str, at: Any, **more: Any) -> Iterator[bytes]:
        if collection == "gates":
            made.append(rig.system.a_shell())
        yield from documents(client, database, collection, at, **more)

    monkeypatch.setattr(snapshot, "documents", slow)
    # When a backup is made meanwhile
    data, _ = rig.backed_up(tmp_path / "backups")
    # Then none of them is in it, in any service: it is of the moment before
    assert len(made) == len(SERVICES)
    with data.path.open("rb") as file:
        reader = Reader(file, data.name)
        for name in (name for name in reader.names if name.endswith("gates.bson") or name == "case/cases.bson"):
            assert not {document["_id"] for document in reader.documents(name)} & set(made)


def test_an_archive_of_keys_has_the_root_that_opens_it_while_keys_are_rotated(
    rig: Rig, installation: Installation, tmp_path: Path
) -> None:
    # Given rotations all the while
    folder, over = tmp_path / "backups", threading.Event()

    def rotate() -> None:
        case = installation["case"]
        unit_of_work = UnitOfWork(case.client, names=installation.names, service="case", roots=case.roots)
        while not over.is_set():
            Rotation(unit_of_work.vault).run(every_bucket=True)

    rotating = threading.Thread(target=rotate)
    rotating.start()
    try:
        # When keys are archived
        for _ in range(3):
            done = rig.run("backup", "keys", str(folder))
            assert done.exit_code == 0, done.output
    finally:
        over.set()
        rotating.join()
    # Then each archive opens with its own root, and only the newest two are kept
    kept = catalogue.listed(folder, "keys")
    assert len(kept) == 2
    for archive in kept:
        reader = keys.opened(archive, rig.identity)
        (document,) = reader.documents("case/vault/tree.bson")
        open_tree("case", document, reader.read("case/root"))
        # And the root itself is gone by now
        with pytest.raises(RootMissing):
            Folders([Path(place) for place in rig.provided.env["case"]["FMN_ROOTS"].split(",")]).copies(
                document["root"]
            )


def test_without_a_public_key_a_backup_is_refused_and_says_why(rig: Rig, tmp_path: Path) -> None:
    answer = rig.run("backup", str(tmp_path / "backups"), FMN_BACKUP_KEY="")
    assert answer.exit_code == 1
    assert "FMN_BACKUP_KEY is not set" in answer.stderr
    assert not (tmp_path / "backups").exists()
    answer = rig.run("backup", str(tmp_path / "backups"), FMN_BACKUP_KEY=str(rig.provided.public_keys))
    assert (answer.exit_code, "can't be used" in answer.stderr) == (1, True)
    # Nothing was kept, and no row says that an archive of keys is there
    assert catalogue.listed(tmp_path / "backups", "keys") == []
    assert not [
        row
        for row in rig.archives()
        if row["kind"] == "keys"
        and row["gone_at"] is None
        and row["folder"] == hashlib.sha256(str(tmp_path / "backups").encode()).hexdigest()
    ]


def test_a_backup_that_takes_longer_than_the_window_fails_and_leaves_nothing(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a server that keeps a moment for a second, and a backup that is slow
    documents = snapshot.documents

    def slow(client: Any, database: str, collection: str, at: Any, **more: Any) -> Iterator[bytes]:
        if collection == "gates":
            time.sleep(2)
            # The server forgets when it writes.
            rig.system.a_shell()
            time.sleep(0.5)
        yield from documents(client, database, collection, at, **more)

    monkeypatch.setattr(snapshot, "documents", slow)
    with window_of(rig.system.stack, 1):
        answer = rig.run("backup", str(tmp_path / "backups"))
    assert answer.exit_code == 1
    assert "took longer than MongoDB keeps the moment" in answer.stderr
    assert {path.name for path in (tmp_path / "backups").iterdir()} == {".lock"}


def test_a_backup_that_was_killed_leaves_no_file_that_looks_whole_and_the_next_one_clears_up(
    rig: Rig, tmp_path: Path
) -> None:
    # Given a backup that dies while it writes objects
    folder = tmp_path / "backups"
    rig.system.a_scan(rig.system.an_open_case())
    script = (
        "import os, signal\n"
        "from deploy.backup import data\n"
        "data._write_objects = lambda writer, member: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from deploy.ops.main import app\n"
        f"app(['backup', {str(folder)!r}])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], env=dict(os.environ) | variables_of(rig.system), check=False)
    assert done.returncode < 0
    assert len(list(folder.glob(".*.part"))) == 1
    assert catalogue.listed(folder, "data") == []
    # When the next one runs, Then it is whole, and what the dead one left is gone
    data, archive = rig.backed_up(folder)
    assert {path.name for path in folder.iterdir()} == {data.name, archive.name, ".lock"}
