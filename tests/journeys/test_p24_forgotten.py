"""P24: you can have it all erased. A family's case lives, and is forgotten in every service."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import OKPKey

from shared.events import SERVICES
from tests.helpers import eventually
from tests.system import System


def certificate_of(system: System, request_id: str) -> dict[str, Any]:
    """The certificate's claims, verified as an outsider would: an ordinary JOSE library and the published keys."""
    answer = system.auditor.get(f"/requests/{request_id}/certificate")
    assert answer.headers["Content-Type"] == "application/jose"
    keys = {
        jwk["kid"]: OKPKey.import_key(jwk)
        for jwk in system.auditor.call("GET", "consent:/.well-known/jwks.json").json()["keys"]
    }
    token = answer.text
    opened = jws.deserialize_compact(token, lambda found: keys[found.headers()["kid"]], algorithms=["Ed25519", "EdDSA"])
    return dict(json.loads(opened.payload))


def letters_to(system: System, before: set[Path]) -> set[Path]:
    return set(system.provided.post.glob("*.pdf")) - before


def forget(system: System, case_id: str) -> tuple[str, dict[str, Any]]:
    request = system.an_erasure(case_id)
    system.confirm(request["id"])
    eventually(lambda: system.is_completed(request["id"]))
    return request["id"], certificate_of(system, request["id"])


def test_p24_a_family_is_forgotten_everywhere_and_it_is_certified(system: System) -> None:
    # Given a family with people, entries, a scan and a letter received
    before = set(system.provided.post.glob("*.pdf"))
    case_id = system.an_open_case()
    parent = system.a_person(case_id)
    child = system.a_person(
        case_id, role="child", given_name="Zbyněk", date_of_birth="2015-02-28", address=None, email=None, phone=None
    )
    system.caseworker.made(f"/cases/{case_id}/entries", {"kind": "wish", "text": "a place at the school nearby"})
    scan = system.a_scan(case_id)
    assert scan.status_code == 201, scan.text
    eventually(lambda: letters_to(system, before))
    # When they ask to be forgotten, and a colleague confirms it
    request_id, certificate = forget(system, case_id)
    # Then every service has answered that nothing remains
    receipts = system.auditor.read(f"/requests/{request_id}/receipts")["items"]
    assert {r["service"] for r in receipts} == set(SERVICES)
    assert all(s["remaining"] == 0 for r in receipts for s in r["stores"])
    found = {r["service"]: {s["store"]: s["found"] for s in r["stores"]} for r in receipts}
    assert found["case"]["people"] == 2
    assert sum(found["document"].values()) >= 3
    # And the certificate says so, the promise kept and the last letter sent
    assert certificate["kept_promise"] is True
    assert certificate["last_letter"] == "sent"
    assert len(certificate["receipts"]) == len(SERVICES)
    assert len(letters_to(system, before)) == 2
    # And whatever names the case is gone, by every door
    for path in (f"/cases/{case_id}", f"/cases/{case_id}/people", f"/cases/{case_id}/documents"):
        assert system.caseworker.get(path).status_code == 410, path
    assert system.caseworker.get("/decisions", case_id=case_id, purpose="casework").status_code == 410
    assert system.caseworker.get("/notifications", case_id=case_id).status_code == 410
    assert system.caseworker.get(f"/documents/{scan.json()['id']}").status_code == 404
    assert system.caseworker.post("/cases/search", {"phone": "07700 900123"}).json()["items"] == [] or all(
        item["case_id"] != case_id
        for item in system.caseworker.post("/cases/search", {"phone": "07700 900123"}).json()["items"]
    )
    assert system.caseworker.get(f"/cases/{case_id}/people/{parent['id']}").status_code == 410
    assert system.caseworker.get(f"/cases/{case_id}/people/{child['id']}").status_code == 410


def test_p24_the_case_is_frozen_from_the_moment_it_is_asked(system: System) -> None:
    case_id = system.an_open_case()
    system.an_erasure(case_id)
    eventually(lambda: system.caseworker.read(f"/cases/{case_id}")["frozen"])
    answer = system.caseworker.post(f"/cases/{case_id}/entries", {"kind": "note", "text": "too late"})
    assert (answer.status_code, answer.json()["type"]) == (423, "urn:fmn:problem:frozen")
    eventually(lambda: system.a_scan(case_id).status_code == 423)


def test_p24_whoever_logged_it_cannot_confirm_it(system: System) -> None:
    request = system.an_erasure(system.an_open_case())
    body = {"checked": ["family", "authority", "safeguarding"]}
    answer = system.caseworker.post(f"/requests/{request['id']}/confirmation", body)
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:fmn:problem:forbidden")
    assert system.waits_on(request["id"]) == ["confirmation"]


def test_p24_a_request_withdrawn_in_time_loses_nothing(system: System) -> None:
    case_id = system.an_open_case()
    system.a_person(case_id)
    request = system.an_erasure(case_id)
    withdrawn = system.caseworker.post(f"/requests/{request['id']}/withdrawal", {"channel": "phone", "by": "Żaneta"})
    assert withdrawn.json()["status"] == "withdrawn"
    eventually(lambda: not system.caseworker.read(f"/cases/{case_id}")["frozen"])
    assert len(system.caseworker.read(f"/cases/{case_id}")["people"]) == 1
    system.caseworker.made(f"/cases/{case_id}/entries", {"kind": "note", "text": "we go on"})


def test_p24_a_hold_keeps_it_from_beginning_until_it_is_lifted(system: System) -> None:
    case_id = system.an_open_case()
    hold = {"case_id": case_id, "ground": "legal_claim", "until": "2099-12-31", "reason": "a tribunal"}
    placed = system.manager.post("/holds", hold)
    assert placed.status_code == 201
    request = system.an_erasure(case_id)
    system.confirm(request["id"])
    assert system.waits_on(request["id"]) == ["hold"]
    lifted = system.manager.call(
        "DELETE", f"/holds/{placed.json()['id']}", headers={"If-Match": placed.headers["ETag"]}
    )
    assert lifted.status_code == 204
    eventually(lambda: system.is_completed(request["id"]))
    late = system.manager.post("/holds", hold)
    assert (late.status_code, late.json()["type"]) == (409, "urn:fmn:problem:conflict")


def test_p29_an_erasure_waits_for_its_paper(system: System) -> None:
    case_id = system.an_open_case()
    paper = system.caseworker.made(
        f"/cases/{case_id}/paper-files", {"location": "cabinet 3", "description": "a green folder"}
    )
    request = system.an_erasure(case_id)
    system.confirm(request["id"])
    eventually(lambda: system.waits_on(request["id"]) == ["paper"])
    listed = system.caseworker.read(f"/cases/{case_id}/paper-files")["items"]
    assert [item["id"] for item in listed] == [paper["id"]]
    same = {"method": "shredded", "by": "Ola", "witnessed_by": "Ola"}
    assert system.caseworker.post(f"/paper-files/{paper['id']}/disposal", same).status_code == 400
    done = system.caseworker.post(f"/paper-files/{paper['id']}/disposal", {**same, "witnessed_by": "Priya"})
    assert done.status_code in (200, 201), done.text
    eventually(lambda: system.is_completed(request["id"]))
    certificate = certificate_of(system, request["id"])
    assert [(p["paper_file"], p["method"]) for p in certificate["paper"]] == [(paper["id"], "shredded")]


@pytest.mark.parametrize("service", SERVICES)
def test_p24_a_worker_killed_during_the_erasure_goes_on_when_it_comes_back(system: System, service: str) -> None:
    case_id = system.an_open_case()
    system.a_person(case_id)
    system.a_scan(case_id)
    request = system.an_erasure(case_id)
    worker = system.process(f"{service}-worker")
    system.confirm(request["id"])
    worker.kill(signal.SIGKILL)
    worker.restart()
    eventually(lambda: system.is_completed(request["id"]))
    assert certificate_of(system, request["id"])["kept_promise"] is True


def test_p24_a_request_for_an_erased_case_completes_with_nothing_held(system: System) -> None:
    case_id = system.an_open_case()
    forget(system, case_id)
    request_id, _ = forget(system, case_id)
    receipts: list[Mapping[str, Any]] = system.auditor.read(f"/requests/{request_id}/receipts")["items"]
    assert {r["outcome"] for r in receipts} == {"nothing_held"}
