"""P5, P6: work, contacts and meetings need a file, and you are told so before you agree to one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.helpers import eventually, problem
from tests.journeys.test_p13_contacts import a_school, about
from tests.system import System

MEETING = {
    "kind": "meeting",
    "text": "The annual review of the plan.",
    "place": "Marlow Vale Primary, room 2",
    "papers": ["the plan", "the speech therapist's report"],
}


def in_a_month() -> str:
    return (datetime.now(UTC) + timedelta(days=30)).isoformat()


def close(system: System, case_id: str) -> None:
    system.caseworker.made(f"/cases/{case_id}/entries", {"kind": "outcome", "text": "Not known."})
    etag = system.caseworker.get(f"/cases/{case_id}").headers["ETag"]
    body = {"state": "closed"}
    closed = system.caseworker.call("PUT", f"/cases/{case_id}/state", json=body, headers={"If-Match": etag})
    assert closed.status_code == 200, closed.text


def test_p5_without_a_file_there_is_no_work_no_contact_and_no_meeting(system: System) -> None:
    # Given somebody who rang, and hasn't agreed to a file
    shell, school = system.a_shell(), a_school(system)
    # When anything is begun for them that needs one
    tried: list[tuple[str, dict[str, Any]]] = [
        ("entries", {"kind": "action", "text": "ring the school"}),
        ("entries", MEETING),
        ("contacts", about(school)),
        ("disclosures", {"recipient": "the head", "what": "a date", "basis": "consent", "party": school}),
        ("paper-files", {"location": "cabinet 3", "description": "a folder"}),
    ]
    # Then it is refused, and the shell is as empty as it was
    for path, body in tried:
        assert problem(system.caseworker.post(f"/cases/{shell}/{path}", body)) == (409, "consent-required"), path
    for path in ("people", "entries", "contacts", "disclosures"):
        assert system.caseworker.read(f"/cases/{shell}/{path}")["items"] == []
    assert system.caseworker.read(f"/cases/{shell}")["state"] == "shell"


def test_p5_a_meeting_has_a_date_a_place_and_the_papers_it_needs(system: System) -> None:
    case_id, day = system.an_open_case(), in_a_month()
    meeting = system.caseworker.made(f"/cases/{case_id}/entries", {**MEETING, "at": day})
    kept = system.caseworker.read(f"/cases/{case_id}/entries/{meeting['id']}")
    assert (kept["place"], kept["papers"]) == (MEETING["place"], MEETING["papers"])
    assert datetime.fromisoformat(kept["at"]).date() == datetime.fromisoformat(day).date()
    # Nothing else has a place or papers
    other = system.caseworker.post(f"/cases/{case_id}/entries", {**MEETING, "kind": "note"})
    assert problem(other) == (400, "invalid")
    assert sorted(other.json()["errors"]) == ["papers", "place"]
    note = system.caseworker.made(f"/cases/{case_id}/entries", {"kind": "note", "text": "a word"})
    assert (note["place"], note["papers"]) == (None, [])


def test_p5_a_file_that_is_closed_has_no_meetings_and_nobody_is_contacted(system: System) -> None:
    school = a_school(system)
    case_id = system.an_open_case({"purpose": "casework"}, {"purpose": "contact", "party": school})
    close(system, case_id)
    for path, body in (("entries", MEETING), ("contacts", about(school))):
        assert problem(system.caseworker.post(f"/cases/{case_id}/{path}", body)) == (409, "conflict")
    assert system.caseworker.read(f"/cases/{case_id}/contacts")["items"] == []
    # What is learned of it afterwards is still written down
    system.caseworker.made(f"/cases/{case_id}/entries", {"kind": "note", "text": "they rang to thank us"})


def test_p6_you_are_told_that_a_file_is_needed_before_you_agree_to_one(system: System) -> None:
    # Given somebody on the telephone
    shell, now = system.a_shell(), datetime.now(UTC)
    # When the yes is said to have come before they were told, it is none
    body = {
        "case_id": shell,
        "decision": "given",
        "given_by": {"name": "Ann Okonkwo", "capacity": "parental_responsibility"},
        "channel": "phone",
        "informed_at": now.isoformat(),
        "given_at": (now - timedelta(minutes=2)).isoformat(),
        "statement_version": system.caseworker.read("/statement")["version"],
        "purposes": [{"purpose": "casework"}],
    }
    early = system.caseworker.post("/consents", body)
    assert problem(early) == (400, "invalid")
    untold = system.caseworker.post("/consents", {k: v for k, v in body.items() if k != "informed_at"})
    assert (problem(untold), list(untold.json()["errors"])) == ((400, "invalid"), ["informed_at"])
    assert system.caseworker.read("/consents", case_id=shell)["items"] == []
    assert system.caseworker.read(f"/cases/{shell}")["state"] == "shell"
    # When they were told first, it is one, and both times stay on record
    told = {**body, "informed_at": (now - timedelta(minutes=9)).isoformat()}
    consent = system.caseworker.made("/consents", told)
    kept = system.caseworker.read(f"/consents/{consent['id']}")
    assert datetime.fromisoformat(kept["informed_at"]) < datetime.fromisoformat(kept["given_at"])
    assert kept["channel"] == "phone"
    eventually(lambda: system.caseworker.read(f"/cases/{shell}")["state"] == "open")
