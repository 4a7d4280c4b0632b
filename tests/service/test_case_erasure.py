"""The case service's part in an erasure: frozen it reads, erased it has nothing, and a late writer loses."""

from __future__ import annotations

import threading

import jwt
import pytest

from deploy.local.stack import Stack
from shared.events import consent
from shared.ids import new_id
from tests.helpers import eventually, refused
from tests.service.case_rig import MOTHER, Rig, rig_on

pytestmark = pytest.mark.xdist_group("case")


@pytest.fixture(scope="module")
def rig(stack: Stack, worker_id: str) -> Rig:
    return rig_on(stack, worker_id)


def freeze(rig: Rig, case_id: str) -> None:
    rig.say(consent.FROZEN, case_id)
    eventually(lambda: bool(rig.ask("GET", f"/cases/{case_id}").json()["frozen"]))


def test_p24_a_frozen_case_is_read_and_not_changed(rig: Rig) -> None:
    case_id = rig.a_case()
    person = rig.a_person(case_id, phone="07700 900 704")
    path = f"/cases/{case_id}/people/{person.json()['id']}"
    before = rig.ask("GET", f"/cases/{case_id}").headers["ETag"]

    freeze(rig, case_id)

    refused(rig.ask("POST", f"/cases/{case_id}/people", MOTHER), 423, "frozen")
    refused(rig.ask("PATCH", path, {"phone": None}, match="*"), 423, "frozen")
    refused(rig.ask("DELETE", path, match="*"), 423, "frozen")
    refused(rig.ask("POST", f"/cases/{case_id}/entries", {"kind": "note", "text": "x"}), 423, "frozen")
    refused(rig.ask("PUT", f"/cases/{case_id}/state", {"state": "inactive"}, match="*"), 423, "frozen")
    assert rig.ask("GET", path).json() == person.json()
    assert rig.ask("GET", f"/cases/{case_id}/entries").status_code == 200
    read = rig.ask("GET", f"/cases/{case_id}", role="service:notifier")
    assert (read.status_code, read.json()["people"]) == (200, [person.json()])
    assert read.headers["ETag"] != before
    found = rig.ask("POST", "/cases/search", {"phone": "07700 900704"}).json()["items"]
    assert case_id in [one["case_id"] for one in found]

    rig.say(consent.RELEASED, case_id)
    eventually(lambda: rig.ask("POST", f"/cases/{case_id}/people", MOTHER).status_code == 201)


def test_p24_a_withdrawal_is_heard_while_frozen(rig: Rig) -> None:
    case_id = rig.a_case()
    freeze(rig, case_id)

    rig.say(consent.WITHDRAWN, case_id, consent=new_id(), standing=[])
    rig.say(consent.RELEASED, case_id)

    eventually(lambda: not rig.ask("GET", f"/cases/{case_id}").json()["frozen"])
    refused(rig.ask("POST", f"/cases/{case_id}/people", MOTHER), 409, "consent-required")


def test_p24_an_erased_case_is_gone_from_every_store_and_says_so(rig: Rig) -> None:
    case_id = rig.a_case()
    person = rig.a_person(case_id, phone="07700 900777")
    reference = rig.ask("GET", f"/cases/{case_id}").json()["reference"]
    entry = {"kind": "wish", "text": "A school near the sea"}
    assert rig.ask("POST", f"/cases/{case_id}/entries", entry, key="once").status_code == 201

    rig.erased(case_id)

    (receipt,) = rig.told("erasure.receipt", case_id)
    claims = jwt.decode(receipt["receipt"], options={"verify_signature": False})
    stores = {one["store"]: one for one in claims["stores"]}
    assert claims["outcome"] == "erased"
    for name, count in {"cases": 1, "people": 1, "entries": 1, "projections": 1, "search_hashes": 1}.items():
        assert stores[name] == {"store": name, "found": count, "deleted": count, "remaining": 0}
    assert all(one["remaining"] == 0 for one in claims["stores"])
    keys = rig.database[f"{rig.provided.prefix}_case_vault"]["keys"]
    assert keys.count_documents({"_id": case_id}) == 0
    assert reference.encode() not in rig.everything_stored()

    base = f"/cases/{case_id}"
    for path in (base, f"{base}/people", f"{base}/people/{person.json()['id']}", f"{base}/entries"):
        refused(rig.ask("GET", path), 410, "erased")
    refused(rig.ask("POST", f"{base}/people", MOTHER), 410, "erased")
    refused(rig.ask("POST", f"{base}/entries", entry, key="once"), 410, "erased")
    refused(rig.ask("PUT", f"{base}/state", {"state": "inactive"}, match="*"), 410, "erased")
    assert rig.ask("POST", f"{base}/ending", rig.grant(case_id), role="service:consent").status_code == 204
    assert rig.ask("POST", "/cases/search", {"phone": "07700 900777"}).json() == {"items": []}
    assert rig.ask("POST", "/cases/search", {"reference": reference}).json() == {"items": []}
    assert case_id not in rig.ask("GET", "/cases?limit=200").text


def test_p24_a_late_consent_brings_nobody_back(rig: Rig) -> None:
    case_id = rig.a_case()
    rig.erased(case_id)

    rig.say(consent.GIVEN, case_id, consent=new_id(), standing=[{"consent": new_id(), "purpose": "casework"}])
    other = rig.a_case()

    # One queue, in order: the second was handled, so the first was too.
    assert rig.ask("GET", f"/cases/{other}").json()["state"] == "open"
    refused(rig.ask("GET", f"/cases/{case_id}"), 410, "erased")
    assert rig.rows("projections", case_id) == []
    assert rig.database[f"{rig.provided.prefix}_case_vault"]["keys"].count_documents({"_id": case_id}) == 0


def test_p24_writers_in_flight_lose_against_an_erasure(rig: Rig) -> None:
    case_id = rig.a_case()
    stopping = threading.Event()
    statuses: set[int] = set()

    def write() -> None:
        while not stopping.is_set():
            statuses.add(rig.ask("POST", f"/cases/{case_id}/people", MOTHER).status_code)
            statuses.add(rig.ask("POST", f"/cases/{case_id}/entries", {"kind": "note", "text": "late"}).status_code)

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    eventually(lambda: 201 in statuses)
    rig.erased(case_id)
    eventually(lambda: 410 in statuses)
    stopping.set()
    for writer in writers:
        writer.join()

    # 409 is a case that had as many people as it may.
    assert statuses <= {201, 409, 410, 503}
    for name in ("cases", "people", "entries", "projections", "idempotency"):
        assert rig.rows(name, case_id) == []
    assert rig.rows("search_hashes", case_id, vault=True) == []
