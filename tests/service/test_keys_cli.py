"""`forgetmenot keys` on the run's real servers, while the services run: what it shows, and what it changes."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from deploy.local.provision import Provision
from deploy.local.stack import Stack
from shared.clock import utc_now
from shared.db.keys.roots import Folders
from shared.db.keys.vault import Vault
from shared.db.unit_of_work import UnitOfWork, connect
from shared.events import SERVICES
from shared.ids import new_id
from tests.helpers import eventually, kill, start
from tests.operator_commands import command
from tests.system import System

pytestmark = pytest.mark.xdist_group("keys-cli")


@dataclass(frozen=True, kw_only=True)
class Rig:
    """Four services on names of their own, and the commands of the operator who runs them."""

    system: System

    @property
    def provided(self) -> Provision:
        return self.system.provided

    def keys(self, *arguments: str, **env: str) -> Result:
        return command(self.system, "keys", *arguments, **env)

    def places(self, service: str = "case") -> list[Path]:
        return [Path(place) for place in self.provided.env[service]["FMN_ROOTS"].split(",")]

    @contextmanager
    def vault(self, service: str = "case") -> Iterator[Vault]:
        client = connect((self.provided.secrets[service] / "mongo-url").read_text())
        roots = Folders(self.places(service))
        with client:
            yield UnitOfWork(client, names=self.provided.prefix, service=service, roots=roots).vault

    def found(self, **by: str) -> list[str]:
        answer = self.system.caseworker.post("/cases/search", by)
        assert answer.status_code == 200, answer.text
        return [item["case_id"] for item in answer.json()["items"]]


@pytest.fixture(scope="module")
def rig(stack: Stack) -> Iterator[Rig]:
    names = f"kc{new_id()[-8:]}".replace("-", "")
    provided = stack.provision(names)
    workers = ("document-worker", "notifier-worker")
    started = stack.start_services(provided, only=["case", "consent", *workers])
    yield Rig(system=System(stack, provided))
    for process in started.values():
        process.stop()
    stack.deprovision(names)


def rows(answer: Result) -> list[str]:
    """The rows that were printed, with one space between their columns."""
    return [" ".join(line.split()) for line in answer.stdout.splitlines()]


def secrets_of(vault: Vault) -> list[bytes]:
    """The root, the buckets' keys and the named keys, as they are now."""
    tree, document = vault.tree(fresh=True), vault.document()
    return [vault.roots.copies(document["root"])[0], *tree.keys, *(tree.unwrap(row) for row in vault.keys.find())]


def hashes(rig: Rig, case_id: str) -> list[dict[str, Any]]:
    with rig.vault() as vault:
        rows = vault.client[f"{rig.provided.prefix}_case_vault"]["search_hashes"].find({"case_id": case_id})
        return sorted(rows, key=lambda row: str(row["_id"]))


def test_a_rotation_gives_every_bucket_a_new_key_while_the_services_run_and_what_was_found_is_found(rig: Rig) -> None:
    # Given a family in an open case, found by what it says of itself
    case_id = rig.system.an_open_case()
    person = rig.system.a_person(case_id, date_of_birth="1981-02-03")
    by = {"family_name": "okonkwo lukasik", "date_of_birth": "1981-02-03"}
    assert rig.found(**by) == [case_id]
    before = {}
    for service in SERVICES:
        with rig.vault(service) as vault:
            before[service] = (vault.document(), vault.tree(fresh=True), secrets_of(vault))
    (hashed,) = hashes(rig, case_id)
    # When the operator rotates all keys
    done = rig.keys("rotate")
    assert done.exit_code == 0, done.output
    # Then no bucket has its old key, the old roots are gone from every place, and the new ones are in every place
    printed = done.output
    for service in SERVICES:
        document, tree, secret = before[service]
        with rig.vault(service) as vault:
            now, after = vault.document(), vault.tree(fresh=True)
            assert not set(after.keys) & set(tree.keys)
            assert all(new > old for new, old in zip(after.versions, tree.versions, strict=True))
            for place in rig.places(service):
                assert {path.name for path in place.iterdir()} == {"store", f"{now['root']}.root"}
            assert now["root"] != document["root"]
            # Named keys are the same: what was sealed opens as it did
            assert set(secrets_of(vault)[1 + len(after.keys) :]) == set(secret[1 + len(tree.keys) :])
            printed += "".join(rig.keys("status", service).output)
            for one in (*secret, *secrets_of(vault)):
                assert one.hex() not in printed
                assert base64.b64encode(one).decode().rstrip("=") not in printed
    # And the running services read, find and write at once
    people = rig.system.caseworker.read(f"/cases/{case_id}/people")["items"]
    assert [each["family_name"] for each in people if each["id"] == person["id"]] == ["Okonkwo-Łukasik"]
    assert rig.found(**by) == [case_id]
    (anew,) = hashes(rig, case_id)
    assert anew["family_name"] != hashed["family_name"]
    rig.system.a_person(case_id, date_of_birth="1982-03-04")
    assert rig.found(family_name="okonkwo lukasik", date_of_birth="1982-03-04") == [case_id]


def test_one_service_may_be_rotated_alone(rig: Rig) -> None:
    with rig.vault() as case, rig.vault("consent") as consent:
        others, own = consent.document(), case.document()
        assert rig.keys("rotate", "case").exit_code == 0
        assert consent.document() == others
        assert case.document()["generation"] > own["generation"]


def test_status_shows_generation_keys_and_places(rig: Rig) -> None:
    answer = rig.keys("status")
    assert answer.exit_code == 0, answer.output
    for service in SERVICES:
        with rig.vault(service) as vault:
            keys = vault.keys.count_documents({})
            assert f"{service} {vault.document()['generation']} {keys} 0" in rows(answer)
        for place in rig.places(service):
            assert f"{service} {place} has the root" in rows(answer)


def test_a_place_that_lost_the_root_is_named_and_healed_by_a_rotation(rig: Rig) -> None:
    # Given a place whose disk was replaced by an empty one
    place = rig.places()[1]
    for path in place.iterdir():
        path.unlink()
    answer = rig.keys("status", "case")
    assert answer.exit_code == 1
    assert f"case {place} lacks the root" in rows(answer)
    assert f"case: {place} lacks the root. See docs/runbook.md, Roots.\n" in answer.stderr
    # When the keys are rotated, Then it has the root again
    assert rig.keys("rotate", "case").exit_code == 0
    assert rig.keys("status", "case").exit_code == 0


@pytest.mark.parametrize("damage", [b"short", bytes(32)], ids=["short", "other"])
def test_a_damaged_root_in_the_first_place_is_named_stops_nothing_and_is_mended(rig: Rig, damage: bytes) -> None:
    # Given a root that its disk has damaged
    case_id = rig.system.an_open_case()
    (root,) = rig.places()[0].glob("*.root")
    root.write_bytes(damage)
    answer = rig.keys("status", "case")
    assert answer.exit_code == 1
    assert f"case {root.parent} has a root that doesn't open the tree" in rows(answer)
    # Then a service that has just started answers, and keeps what it is told
    api, worker = (rig.system.process(f"case-{name}") for name in ("api", "worker"))
    kill([api, worker])
    start([api])
    rig.system.a_person(case_id)
    assert rig.system.caseworker.read(f"/cases/{case_id}")["people"]
    # And its worker makes the place whole
    start([worker])
    eventually(lambda: not root.exists())
    eventually(lambda: rig.keys("status", "case").exit_code == 0)


def test_a_doomed_key_that_has_waited_for_long_is_named(rig: Rig) -> None:
    now = utc_now()
    with rig.vault() as vault:

        def doom(at: timedelta) -> None:
            row = {"bucket": 1, "at": now - at, "then": [], "gone_at": None}
            vault.doomed.replace_one({"_id": "a-name"}, row, upsert=True)

        doom(timedelta(minutes=5))
        assert rig.keys("status", "case").exit_code == 0
        assert rows(rig.keys("status", "case"))[0].split()[3] == "1"
        doom(timedelta(hours=2))
        answer = rig.keys("status", "case")
        assert answer.exit_code == 1
        assert "case: 1 doomed keys have waited for more than an hour" in answer.stderr
        vault.doomed.delete_one({"_id": "a-name"})


def test_an_erasure_leaves_no_doomed_key_that_waits(rig: Rig) -> None:
    with rig.vault() as vault:
        generation = vault.document()["generation"]
        case_id = rig.system.a_shell()
        eventually(lambda: vault.has_key(case_id))
        declined = {"case_id": case_id, "decision": "declined"}
        assert rig.system.caseworker.post("/consents", declined).status_code == 200
        eventually(lambda: not vault.has_key(case_id) and not vault.is_doomed(case_id))
        assert vault.document()["generation"] > generation
    assert rig.keys("status", "case").exit_code == 0


def test_in_a_container_the_service_is_named_since_its_settings_are_there(rig: Rig) -> None:
    inside = {name: value for name, value in rig.provided.env["case"].items() if name != "FMN_SERVICE"}
    answer = rig.keys("status", **inside)
    assert (answer.exit_code, "Name it." in answer.stderr) == (1, True)
    answer = rig.keys("status", "case", **inside)
    assert (answer.exit_code, rows(answer)[0].split()[0]) == (0, "case"), answer.output


def test_what_can_t_be_done_is_said_in_a_sentence(rig: Rig, tmp_path: Path) -> None:
    answer = rig.keys("rotate", "elsewhere")
    assert (answer.exit_code, answer.stderr) == (
        1,
        "There is no service 'elsewhere': name one of case, document, consent, notifier.\n",
    )
    answer = rig.keys("status", FMN_LOCAL=str(tmp_path), FMN_PORT_BASE="1024")
    assert (answer.exit_code, "`make up` starts one" in answer.stderr) == (1, True)
    answer = rig.keys("status", FMN_NAMES="neverseen")
    assert (answer.exit_code, "Nothing is set up under the names neverseen" in answer.stderr) == (1, True)
