"""An office's day, told through every operation: the run that the examples of the descriptions are taken from.

FMN_RECORD_EXAMPLES=on writes the examples that are missing; delete a file to have it taken anew. All names are
invented.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from shared.clock import utc_now
from shared.events import SERVICES
from shared.uk.working_days import london_day
from tests import samples
from tests.described import Described, operations_of
from tests.helpers import eventually
from tests.races.inside import Inside, an_inside
from tests.samples_email import email as email_with
from tests.system import Caller, System

_PHONED = {"channel": "phone", "by": "Żaneta Okonkwo-Łukasik"}
_FORGET = {"authority": "parental_responsibility", "name": "Żaneta Okonkwo-Łukasik"}


@pytest.fixture(scope="module")
def inside(system: System) -> Iterator[Inside]:
    with an_inside(system) as made:
        yield made


def change(who: Caller, method: str, path: str, body: Any = None, *, etag_of: str | None = None) -> requests.Response:
    """A change of what was just read."""
    read = who.get(etag_of or path)
    answer = who.call(method, path, json=body, headers={"If-Match": read.headers["ETag"]})
    assert answer.ok, answer.text
    return answer


def done(who: Caller, path: str, body: Any = None) -> dict[str, Any]:
    """POST something that is answered with 200 or 201, under a key."""
    answer = who.post(path, body, Idempotency_Key=f"{path.split('/')[-1]}-1")
    assert answer.ok, answer.text
    return dict(answer.json())


def a_family(system: System) -> tuple[str, str]:
    """A case with a mother, taken in by one call, open: its id and hers."""
    now = datetime.now(UTC).replace(microsecond=0)
    given = {
        "given_by": {"name": "Żaneta Okonkwo-Łukasik", "person": 0, "capacity": "parental_responsibility"},
        "channel": "phone",
        "informed_at": (now - timedelta(minutes=4)).isoformat(),
        "given_at": now.isoformat(),
        "statement_version": system.caseworker.read("/statement")["version"],
        "purposes": [{"purpose": "casework"}, {"purpose": "email"}],
    }
    mother = {
        "role": "parent",
        "given_name": "Żaneta",
        "family_name": "Okonkwo-Łukasik",
        "address": ["14 Dolphin Terrace", "Marlow Vale", "SW1A 1AA"],
        "email": "zaneta.okonkwo@family.example",
        "phone": "07700 900123",
        "preferred_channel": "letter",
    }
    wishes = [{"text": "a place at the school nearby"}]
    body = {"case": {"channel": "phone"}, "consent": given, "people": [mother], "wishes": wishes}
    taken = done(system.caseworker, "/intake", body)
    eventually(lambda: system.caseworker.read(f"/cases/{taken['id']}")["state"] == "open")
    return str(taken["id"]), str(taken["people"][0]["id"])


def tells_of_a_case(system: System, case_id: str, mother: str) -> None:
    ada, path = system.caseworker, f"/cases/{case_id}"
    child = done(ada, f"{path}/people", {"role": "child", "given_name": "Zbyněk", "family_name": "Okonkwo-Łukasik"})
    ada.read(f"{path}/people")
    ada.read(f"{path}/people/{child['id']}")
    ada.read("/cases", state="open", limit="20")
    done(ada, "/cases/search", {"postcode": "SW1A 1AA"})
    for entry in ({"kind": "action", "text": "rang the school"}, {"kind": "outcome", "text": "the plan names it now"}):
        made = done(ada, f"{path}/entries", entry) if entry["kind"] == "action" else ada.made(f"{path}/entries", entry)
        ada.read(f"{path}/entries/{made['id']}")
    ada.read(f"{path}/entries")
    # A task that the missing date of birth has opened
    tasks = eventually(lambda: ada.read("/tasks", case_id=case_id, state="open")["items"])
    ada.read(f"/tasks/{tasks[0]['id']}")
    done(ada, f"/tasks/{tasks[0]['id']}/done")
    change(ada, "PATCH", f"{path}/people/{child['id']}", {"date_of_birth": "2015-02-28"})
    change(ada, "DELETE", f"{path}/people/{child['id']}")
    # How the mother may be reached
    safe, person = f"{path}/people/{mother}/safe-contact", f"{path}/people/{mother}"
    change(ada, "PUT", safe, {"post": "plain", "email": "yes", "phone": "yes", "voicemail": "no"}, etag_of=person)
    ada.read(safe)
    assert ada.call("PUT", f"{path}/stop-all", json={"reason": "court_order", "words": "until the hearing"}).ok
    ada.read(f"{path}/stop-all")
    assert system.manager.call("DELETE", f"{path}/stop-all").ok
    change(ada, "PUT", f"{path}/state", {"state": "inactive"}, etag_of=path)
    change(ada, "PUT", f"{path}/state", {"state": "open"}, etag_of=path)


def tells_of_others(system: System, case_id: str) -> None:
    ada, path = system.caseworker, f"/cases/{case_id}"
    school = done(ada, "/organisations", {"name": "Dolphin Primary School", "kind": "school"})
    ada.read("/organisations")
    ada.read(f"/organisations/{school['id']}")
    purposes = [{"purpose": name, "party": school["id"]} for name in ("contact", "share")]
    now = datetime.now(UTC).replace(microsecond=0)
    consent = done(
        ada,
        "/consents",
        {
            "case_id": case_id,
            "decision": "given",
            "given_by": {"name": "Żaneta Okonkwo-Łukasik", "capacity": "parental_responsibility"},
            "channel": "phone",
            "informed_at": (now - timedelta(minutes=3)).isoformat(),
            "given_at": now.isoformat(),
            "statement_version": system.caseworker.read("/statement")["version"],
            "purposes": purposes,
        },
    )
    ada.read("/statement/1")
    ada.read("/consents", case_id=case_id)
    ada.read(f"/consents/{consent['id']}")
    assert ada.get(f"/consents/{consent['id']}/receipt").ok
    ada.read("/decisions", case_id=case_id, purpose="contact", party=school["id"])
    told = {"organisation_id": school["id"], "purpose": "the plan", "summary": "they will send their report"}
    contact = done(ada, f"{path}/contacts", told)
    ada.read(f"{path}/contacts")
    ada.read(f"{path}/contacts/{contact['id']}")
    shared = {"recipient": "the headteacher", "what": "that a plan was asked for", "basis": "consent"}
    made = done(ada, f"{path}/disclosures", {**shared, "party": school["id"]})
    ada.read(f"{path}/disclosures")
    ada.read(f"{path}/disclosures/{made['id']}")
    done(ada, f"/consents/{consent['id']}/withdrawal", {**_PHONED, "purposes": [purposes[1]]})


def tells_of_safeguarding(system: System) -> None:
    told = {"recipient": "the duty social worker", "what": "what was said on the phone", "reason": "a child is at risk"}
    made = done(system.caseworker, "/disclosures", {**told, "told_family": False})
    path = f"/disclosures/{made['id']}"
    system.lead.read("/disclosures", state="open")
    system.lead.read(path)
    until = london_day(utc_now()) + timedelta(days=90)
    change(system.lead, "PUT", f"{path}/hold", {"until": until.isoformat(), "reason": "the inquiry"}, etag_of=path)
    change(system.lead, "DELETE", f"{path}/hold", etag_of=path)
    done(system.lead, f"{path}/review", {"outcome": "justified", "words": "it could not wait"})


def tells_of_documents(system: System, case_id: str) -> str:
    ada, path = system.caseworker, f"/cases/{case_id}"
    scan = samples.pdf_scan()
    filed = system.a_scan(case_id, scan, title="EHC plan")
    assert filed.status_code == 201, filed.text
    document = f"/documents/{filed.json()['id']}"
    ada.read(f"{path}/documents")
    etag = ada.get(document).headers["ETag"]
    assert ada.get(f"{document}/content").content == scan
    sent = {"If-Match": etag, "Content-Type": "application/octet-stream"}
    assert ada.call("PUT", f"{document}/content", data=samples.pdf_scan(seed=2), headers=sent).ok
    assert ada.get(f"{document}/preview", page="2", width="400").ok
    change(ada, "PATCH", document, {"title": "EHC plan, signed", "kind": "ehc_plan"})
    done(ada, f"{document}/move", {"case_id": system.an_open_case(), "reason": "it is the sister's"})
    change(ada, "DELETE", document)
    report = ("report.pdf", "application/pdf", samples.pdf_text("A report"))
    email = system.a_scan(case_id, email_with(report), kind="letter")
    assert email.status_code == 201, email.text
    done(ada, f"/documents/{email.json()['id']}/attachments/1", {"kind": "report"})
    paper = done(ada, f"{path}/paper-files", {"location": "cabinet 2", "description": "a green folder", "pages": 12})
    ada.read(f"{path}/paper-files")
    ada.read(f"/paper-files/{paper['id']}")
    for way in ("out", "in"):
        answer = ada.post(f"/paper-files/{paper['id']}/movements", {"direction": way, "who": "Ola"})
        assert answer.ok, answer.text
    change(ada, "PATCH", f"/paper-files/{paper['id']}", {"location": "cabinet 3"})
    done(ada, "/paper-files/moves", {"from": "cabinet 3", "to": "cabinet 4"})
    ada.read("/paper-files", location="cabinet 4", state="held")
    assert ada.get(f"/paper-files/{paper['id']}/cover-sheet").ok
    return str(paper["id"])


def tells_of_quarantine(system: System, case_id: str) -> None:
    ada = system.caseworker
    school = ada.made("/organisations", {"name": "Marlow Vale School", "kind": "school"})
    for ending, who, body in (
        ("release", system.manager, {"reason": "they had agreed by letter"}),
        ("return", ada, {"to": "the school's office", "by": "Ada"}),
    ):
        filed = system.a_scan(case_id, samples.pdf_scan(), source=school["id"])
        assert filed.json()["reason"] == "no_consent", filed.text
        ada.read("/documents", state="quarantined")
        done(who, f"/documents/{filed.json()['id']}/{ending}", body)


def tells_of_letters(system: System, case_id: str, mother: str, inside: Inside) -> None:
    ada = system.caseworker
    eventually(lambda: _delivered(system, case_id))
    with inside.stopped("notifier"):
        body = {"case_id": case_id, "person_id": mother, "template": "opening", "values": {}, "channel": "letter"}
        sent = done(ada, "/notifications", body)
        ada.read(f"/notifications/{sent['id']}")
        done(ada, f"/notifications/{sent['id']}/cancellation")
    delivered = _delivered(system, case_id)[0]
    done(ada, f"/notifications/{delivered['id']}/returned")
    system.manager.read("/templates")
    assert system.manager.post("/templates/opening/preview", {"channel": "letter"}).ok
    assert ada.get("/consent-pack", format="large_print").ok


def _delivered(system: System, case_id: str) -> list[dict[str, Any]]:
    items = system.caseworker.read("/notifications", case_id=case_id)["items"]
    return [item for item in items if item["status"] == "delivered"]


def tells_of_forgetting(system: System, case_id: str, paper: str, inside: Inside) -> None:
    now = datetime.now(UTC).replace(microsecond=0).isoformat()
    asked = {"kind": "erasure", "case_id": case_id, "received_at": now, "channel": "phone", "made_by": _FORGET}
    for ending, body in (
        ("withdrawal", _PHONED),
        ("refusal", {"ground": "legal claim", "words": "a court has asked for the file"}),
        ("void", {"reason": "logged for another family"}),
    ):
        request = system.caseworker.made("/requests", asked)
        done(system.manager, f"/requests/{request['id']}/{ending}", body)
        eventually(lambda: not system.caseworker.read(f"/cases/{case_id}")["frozen"])
    with inside.with_settings("consent-api", FMN_ELSEWHERE="printer", FMN_HELPLINE_TALLY="on"):
        assert system.caseworker.call("POST", "/helpline-calls").ok
        system.manager.read("/helpline-calls")
        request = done(system.caseworker, "/requests", {**asked, "identity": "in_doubt"})
    path = f"/requests/{request['id']}"
    assert system.caseworker.post("/requests", asked).status_code == 200
    system.data_protection.read("/requests", status="received", case_id=case_id)
    until = (london_day(utc_now()) + timedelta(days=30)).isoformat()
    hold = done(
        system.manager,
        "/holds",
        {"case_id": case_id, "ground": "legal_claim", "until": until, "reason": "a claim is being drafted"},
    )
    system.manager.read("/holds", case_id=case_id)
    system.manager.read(f"/holds/{hold['id']}")
    change(system.manager, "DELETE", f"/holds/{hold['id']}")
    done(system.colleague, f"{path}/confirmation", {"checked": ["family", "authority", "safeguarding"]})
    done(system.caseworker, f"{path}/identity", {"outcome": "settled", "by": "Ola"})
    eventually(lambda: "paper" in system.waits_on(request["id"]))
    done(
        system.caseworker,
        f"/paper-files/{paper}/disposal",
        {"method": "shredded", "by": "Ada", "witnessed_by": "Ben"},
    )
    done(system.caseworker, f"{path}/elsewhere", {"place": "printer", "by": "Ada"})
    eventually(lambda: system.is_completed(request["id"]))
    system.auditor.read(f"{path}/receipts")
    assert system.auditor.get(f"{path}/certificate").ok
    system.auditor.read(path)


def test_an_office_day_goes_through_every_operation_as_its_examples_say(system: System, inside: Inside) -> None:
    described = system.described = Described(system.provided.urls)
    system.caseworker.made("/cases", {"channel": "phone"})
    case_id, mother = a_family(system)
    tells_of_a_case(system, case_id, mother)
    tells_of_others(system, case_id)
    shell = done(system.caseworker, "/cases", {"channel": "website"})
    assert system.caseworker.post("/consents", {"case_id": shell["id"], "decision": "declined"}).ok
    tells_of_safeguarding(system)
    paper = tells_of_documents(system, case_id)
    tells_of_quarantine(system, case_id)
    tells_of_letters(system, case_id, mother, inside)
    reviews = system.caseworker.read("/reviews", case_id=case_id)["items"]
    system.caseworker.read(f"/reviews/{reviews[0]['id']}")
    done(system.caseworker, f"/reviews/{reviews[0]['id']}/answer", {"decision": "renew", **_PHONED})
    tells_of_forgetting(system, case_id, paper, inside)
    for service in SERVICES:
        system.auditor.read(f"/audit/{service}", limit="2")
    # Every answer fitted its description (tests/described.py). And an example has the fields of today's answer.
    stale = []
    for service in SERVICES:
        document = requests.get(f"{system.provided.urls[service]}/openapi.json", timeout=60).json()
        for one in operations_of(service, document):
            answer = described.heard.get(one.id)
            if answer is None or not answer.headers.get("Content-Type", "").startswith("application/json"):
                continue
            example = json.loads(one.example_file.read_text(encoding="utf-8"))["answers"].get(str(answer.status_code))
            if not isinstance(example, dict) or set(example) != set(answer.json()):
                stale.append(one.id)
    assert stale == [], "delete these examples, and record them anew (tests/described.py)"
