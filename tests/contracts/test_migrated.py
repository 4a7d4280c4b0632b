"""`forgetmenot migrate`: what version 0.2 stored is read by this version as it was, wherever the migration was killed.

`stored/before/` holds it, one row and more for each store. Those files don't change.
"""

from __future__ import annotations

import signal
from itertools import count
from pathlib import Path
from unittest.mock import patch

import pytest
from bson.binary import Binary

from deploy.local.provision import Provision
from deploy.local.stack import Stack
from deploy.migrate import records
from deploy.migrate.errors import CannotMigrate
from deploy.migrate.migration import Outcome
from shared.events import SERVICES
from shared.ops.settings import SettingsError
from tests.contracts.stored.databases import let_tests_rewrite_the_ledger
from tests.contracts.stored.older import Installation, Killed, an_older, require_as_it_was
from tests.contracts.stored.opening import (
    BEFORE,
    from_json,
)
from tests.helpers import eventually

pytestmark = pytest.mark.xdist_group("migrated")


@pytest.fixture(scope="module")
def all_provided(stack: Stack, worker_id: str) -> Provision:
    provided = stack.provision(f"older{worker_id}")
    let_tests_rewrite_the_ledger(stack, provided)
    return provided


@pytest.fixture(params=SERVICES)
def older(request: pytest.FixtureRequest, all_provided: Provision, tmp_path: Path) -> Installation:
    return an_older(request.param, all_provided, tmp_path)


@pytest.fixture
def older_case(all_provided: Provision, tmp_path: Path) -> Installation:
    return an_older("case", all_provided, tmp_path)


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "AT_ONCE", 1)


def test_what_version_0_2_stored_is_read_as_it_was(older: Installation) -> None:
    outcome = older.migrate()
    assert outcome.counts is not None
    assert outcome.counts.renewed > 0
    require_as_it_was(older)


def test_a_second_run_says_that_all_is_new_and_changes_nothing(older: Installation) -> None:
    older.migrate()
    before = older.content()
    assert older.migrate() == Outcome(service=older.name, counts=None)
    assert older.content() == before


@pytest.mark.usefixtures("one_at_a_time")
def test_it_goes_on_wherever_it_was_killed(older: Installation) -> None:
    for step in count(1):
        try:
            # Each run dies one step later than the one before, which had got as far as that.
            older.migrate(dies_at=step)
            break
        except Killed:
            continue
    require_as_it_was(older)


@pytest.mark.usefixtures("one_at_a_time")
def test_a_second_run_goes_on_from_every_step_of_the_first(older_case: Installation) -> None:
    for step in count(1):
        older_case.restore()
        try:
            older_case.migrate(dies_at=step)
            break
        except Killed:
            older_case.migrate()
            require_as_it_was(older_case)
    assert step > 20


def test_a_process_that_is_killed_loses_nothing(older_case: Installation) -> None:
    script = (
        "import os, signal\n"
        "from deploy.migrate import records, migration\n"
        "records.AT_ONCE = 1\n"
        "migration.migrate(lambda done: done.startswith('entries: 2') and os.kill(os.getpid(), signal.SIGKILL))\n"
    )
    killed = older_case.run("-c", script)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    eventually(older_case.is_stopped)
    older_case.migrate()
    require_as_it_was(older_case)


def test_a_container_migrates_its_service_with_the_master_keys_mounted_elsewhere(
    older_case: Installation, tmp_path: Path
) -> None:
    mounted = older_case.masters.rename(tmp_path / "mounted")
    done = older_case.run("-m", "deploy.container", "case", "migrate", FMN_MASTER_KEYS=str(mounted))
    assert done.returncode == 0, done.stderr
    assert "The old keys are destroyed." in done.stdout
    assert not mounted.exists()
    require_as_it_was(older_case)


def test_it_refuses_while_the_service_runs(older_case: Installation) -> None:
    older_case.migrate()
    service = older_case.open()
    try:
        with pytest.raises(CannotMigrate, match="still runs"):
            older_case.migrate()
    finally:
        service.runtime.unit_of_work.client.close()


def test_a_service_refuses_what_was_not_migrated(older_case: Installation) -> None:
    with pytest.raises(SettingsError, match="forgetmenot migrate"):
        older_case.open()
    with pytest.raises(Killed):
        older_case.migrate(dies_at=5)
    with pytest.raises(SettingsError, match="forgetmenot migrate"):
        older_case.open()


def test_a_record_whose_key_was_gone_is_left_out_and_counted(older_case: Installation) -> None:
    entry = from_json(BEFORE / "case" / "entries.json")[0]
    lost = Binary(entry["personal"][:1] + b"\x00" * 16 + entry["personal"][17:], 6)
    older_case.add("entries", {**entry, "_id": "0197a000-0000-7000-8000-000000000999", "personal": lost})
    outcome = older_case.migrate()
    assert outcome.counts is not None
    assert outcome.counts.orphans == 1
    require_as_it_was(older_case)


def test_a_record_that_was_altered_stops_it_and_the_old_keys_stay(older_case: Installation) -> None:
    first, second, *_ = from_json(BEFORE / "case" / "entries.json")
    older_case.change("entries", first["_id"], personal=second["personal"])
    with pytest.raises(CannotMigrate, match=first["_id"]):
        older_case.migrate()
    assert (older_case.masters / "1.key").exists()
    older_case.change("entries", first["_id"], personal=first["personal"])
    older_case.migrate()
    require_as_it_was(older_case)


def test_it_stops_before_it_begins_where_the_master_keys_cannot_be_destroyed(older_case: Installation) -> None:
    before = older_case.content()
    with patch("os.access", return_value=False), pytest.raises(CannotMigrate, match="can't be written"):
        older_case.migrate()
    assert older_case.content() == before
