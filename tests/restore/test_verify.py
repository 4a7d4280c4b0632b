"""`forgetmenot backup --verify`: what was backed up is restored beside it, and every record and file is opened."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local.mongo import admin_client
from deploy.local.stack import Stack
from tests.restore.office import Office, an_office

pytestmark = pytest.mark.xdist_group("backup")


@pytest.fixture(scope="module")
def office(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with an_office(stack, tmp_path_factory.mktemp("verify") / "backups") as opened:
        yield opened


def test_a_backup_that_is_verified_is_loaded_under_other_names_and_every_record_is_opened(office: Office) -> None:
    # Given a family with a scan
    system = office.system
    case_id = system.an_open_case()
    system.a_person(case_id)
    assert system.a_scan(case_id).status_code == 201
    # When a backup is made and verified
    done = office.run("backup", str(office.folder), "--verify")
    assert done.exit_code == 0, done.output
    rows = [columns for line in done.stdout.splitlines() if len(columns := line.split()) == 5]
    counts = {(service, store): (int(records), int(unreadable)) for service, store, records, _, unreadable in rows}
    with admin_client(system.stack.places, system.stack.ports) as client:
        people = client[f"{office.provided.prefix}_case"]["people"].count_documents({})
        # And nothing of it is left
        assert not [name for name in client.list_database_names() if name.startswith("verify")]
    assert counts["case", "people"] == (people, 0)
    assert counts["document", "objects"][0] >= 1
    assert "records and files were restored and read; 0 don't open." in done.stdout


def test_a_verified_backup_says_what_doesn_t_open(office: Office) -> None:
    # Given a record that was edited behind the service's back
    person = office.system.a_person(office.system.an_open_case())
    with admin_client(office.system.stack.places, office.system.stack.ports) as client:
        people = client[f"{office.provided.prefix}_case"]["people"]
        row = people.find_one({"_id": person["id"]}) or {}
        people.update_one({"_id": person["id"]}, {"$set": {"personal": row["personal"][:-1] + b"x"}})
        # When a backup is verified, Then it says so
        done = office.run("backup", str(office.folder), "--verify")
        people.replace_one({"_id": person["id"]}, row)
    assert (done.exit_code, "1 don't open." in done.stdout) == (1, True), done.output
