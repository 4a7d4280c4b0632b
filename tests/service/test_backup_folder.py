"""The folder of the archives: what is refused, what goes, and who may work in it."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from typer.testing import CliRunner

from deploy.backup import catalogue, keys
from deploy.backup.archives import Reader
from deploy.backup.errors import BadArchive
from deploy.local.stack import Stack
from deploy.ops.main import app
from services.consent.actions.backups import keys_gone_by
from shared.clock import utc_now
from tests.helpers import eventually
from tests.service.backup_rig import Rig, a_rig
from tests.system import open_with

pytestmark = pytest.mark.xdist_group("backup")


@pytest.fixture(scope="module")
def rig(stack: Stack) -> Iterator[Rig]:
    with a_rig(stack) as opened_rig:
        yield opened_rig


def test_an_archive_that_was_changed_or_cut_is_refused(rig: Rig, tmp_path: Path) -> None:
    data, archive = rig.backed_up(tmp_path / "backups")
    content = bytearray(data.path.read_bytes())
    content[len(content) // 3] ^= 1
    data.path.write_bytes(content)
    with data.path.open("rb") as file, pytest.raises(BadArchive):
        Reader(file, data.name).check()
    data.path.write_bytes(content[: len(content) // 2])
    with data.path.open("rb") as file, pytest.raises(BadArchive, match="cut short"):
        Reader(file, data.name)
    # A file that the manifest doesn't know
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as more:
        more.writestr("manifest.json", json.dumps({"format": 1, "files": {}}))
        more.writestr("../../etc/cron.d/x", "")
    with (tmp_path / "more.zip").open("rb") as file, pytest.raises(BadArchive, match="other files"):
        Reader(file, "more.zip")
    sealed = bytearray(archive.path.read_bytes())
    for place in (5, len(sealed) - 5):
        bent = bytearray(sealed)
        bent[place] ^= 1
        archive.path.write_bytes(bent)
        with pytest.raises(BadArchive):
            keys.opened(archive, rig.identity)


def test_what_is_over_is_removed_and_a_certificate_can_say_when(rig: Rig, tmp_path: Path) -> None:
    # Given a data archive of eight days ago
    folder = tmp_path / "backups"
    data, _ = rig.backed_up(folder)
    old = catalogue.Archive(
        kind="data", folder=folder, began_at=utc_now() - timedelta(days=8), until=utc_now() - timedelta(days=1)
    )
    data.path.rename(old.path)
    # When the operator prunes, Then it is gone
    answer = rig.run("backup", "prune", str(folder))
    assert (answer.exit_code, f"Removed {old.path}." in answer.stdout) == (0, True), answer.output
    assert catalogue.listed(folder, "data") == []
    # And what is erased now can't be opened any more once the newest archive of keys is gone, two hours after it
    newest = catalogue.listed(folder, "keys")[-1]
    with patch.dict(os.environ, rig.provided.env["consent"]):
        stores = open_with(rig.provided, "consent", "a test").context.stores
    now = utc_now()

    def told(destroyed_at: datetime) -> datetime | None:
        return keys_gone_by(stores, destroyed_at=destroyed_at, now=now)

    assert told(now) == max(row["until"] for row in rig.archives() if row["kind"] == "keys" and not row["gone_at"])
    assert newest.until == newest.began_at + timedelta(hours=2, minutes=15)
    # What was destroyed before there was any archive of keys is in none
    assert told(now - timedelta(days=30)) is None
    # And one that should be gone by now, because nothing runs any more, is not said to be gone
    later = newest.until + timedelta(days=3)
    assert (keys_gone_by(stores, destroyed_at=now, now=later) or later) > later


def test_in_a_container_the_settings_of_all_services_come_from_the_environment(rig: Rig, tmp_path: Path) -> None:
    # Given what the compose file tells the container of the backups, with other folders
    run = rig.provided.run
    told = {name: value for name, value in rig.provided.env["consent"].items() if name != "FMN_SERVICE"}
    told |= {
        "FMN_SECRETS": f"{run}/secrets/{{service}}",
        "FMN_ROOTS": f"{run}/roots-1/{{service}},{run}/roots-2/{{service}}",
    }
    folder = tmp_path / "backups"
    # When it backs up, Then both archives are there, and open
    done = CliRunner().invoke(app, ["backup", str(folder)], env=told)
    assert done.exit_code == 0, done.output
    keys.opened(catalogue.listed(folder, "keys")[-1], rig.identity)
    # And what it can't do there it says
    done = CliRunner().invoke(app, ["backup", str(folder), "--verify"], env=told)
    assert (done.exit_code, "which a container lacks" in done.stderr) == (1, True)


def test_two_backups_in_one_folder_don_t_meet(rig: Rig, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    with catalogue.locked(folder):
        answer = rig.run("backup", str(folder))
    assert (answer.exit_code, "Another backup works in" in answer.stderr) == (1, True)
    eventually(lambda: rig.run("backup", "keys", str(folder)).exit_code == 0)
