"""P11: papers of others need the family's consent. What came without is closed, is a task, and finds its way out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from shared.clock import utc_now
from shared.uk.working_days import london_day
from tests import samples
from tests.helpers import eventually, problem
from tests.system import System

SCAN = samples.pdf_scan(2)


def a_school(system: System) -> str:
    return str(system.caseworker.made("/organisations", {"name": "Marlow Vale Primary", "kind": "school"})["id"])


def a_report(system: System, case_id: str, school: str) -> dict[str, Any]:
    answer = system.a_scan(case_id, SCAN, kind="report", source=school)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def tasks(system: System, case_id: str) -> list[tuple[str, str, str]]:
    found = system.caseworker.read("/tasks", case_id=case_id)["items"]
    return [(one["kind"], one["subject_id"], one["state"]) for one in found]


def test_p11_a_document_without_consent_is_a_task_until_the_familys_yes_opens_it(system: System) -> None:
    # Given a report that the school sent without being asked
    case_id, school = system.an_open_case(), a_school(system)
    report = a_report(system, case_id, school)["id"]
    path = f"/documents/{report}"
    assert problem(system.caseworker.get(f"{path}/content")) == (409, "consent-required")
    # Then there is a task about it, due within a week, and the office's list has it
    eventually(lambda: tasks(system, case_id) == [("quarantined_document", report, "open")])
    (task,) = system.caseworker.read("/tasks", case_id=case_id)["items"]
    assert task["due_on"] <= str(london_day(utc_now() + timedelta(days=7)))
    listed = system.manager.read("/documents", state="quarantined", limit=200)["items"]
    assert [(one["id"], one["reason"]) for one in listed if one["case_id"] == case_id] == [(report, "no_consent")]
    # When the family says yes to it on the telephone
    consent = system.a_consent(case_id, {"purpose": "casework"}, {"purpose": "obtain_documents", "party": school})
    # Then it opens by itself, and the task is done by itself
    eventually(lambda: system.caseworker.read(path)["state"] == "accepted")
    assert system.caseworker.get(f"{path}/content").content == SCAN
    eventually(lambda: tasks(system, case_id) == [("quarantined_document", report, "done")])
    # And it stays when they take that back: it was obtained while they agreed. The next one doesn't come in
    purposes = [{"purpose": "obtain_documents", "party": school}]
    body = {"channel": "phone", "by": "Żaneta Okonkwo-Łukasik", "purposes": purposes}
    system.caseworker.made(f"/consents/{consent['id']}/withdrawal", body)
    assert system.caseworker.get(f"{path}/content").content == SCAN
    second = a_report(system, case_id, school)
    assert (second["state"], second["reason"]) == ("quarantined", "no_consent")
    eventually(lambda: ("quarantined_document", second["id"], "open") in tasks(system, case_id))


def test_p11_what_goes_back_to_its_sender_leaves_no_task_and_an_erasure_forgets_it_too(system: System) -> None:
    # Given two reports that came without consent
    case_id, school = system.an_open_case(), a_school(system)
    first, second = (a_report(system, case_id, school)["id"] for _ in range(2))
    eventually(lambda: [state for _, _, state in tasks(system, case_id)] == ["open", "open"])
    # When one goes back, and a manager releases the other
    returned = system.caseworker.post(f"/documents/{first}/return", {"to": "The school", "by": "Ama Mensah"})
    assert (returned.status_code, returned.json()["state"]) == (200, "returned")
    released = system.manager.post(f"/documents/{second}/release", {"reason": "They had agreed by letter."})
    assert (released.status_code, released.json()["state"]) == (200, "accepted")
    # Then nothing is to be done about either
    eventually(lambda: [state for _, _, state in tasks(system, case_id)] == ["done", "done"])
    # And once the family asks to be forgotten, nothing knows where it went
    request = system.an_erasure(case_id)["id"]
    system.confirm(request)
    eventually(lambda: system.is_completed(request))
    for document in (first, second):
        assert problem(system.caseworker.get(f"/documents/{document}")) == (404, "not-found")
    assert problem(system.caseworker.get("/tasks", case_id=case_id)) == (410, "erased")
    left = system.manager.read("/documents", state="returned", limit=200)["items"]
    assert first not in [one["id"] for one in left]


def test_p11_a_task_that_was_done_opens_again_only_if_the_document_came_into_quarantine_anew(system: System) -> None:
    case_id, school = system.an_open_case(), a_school(system)
    first = a_report(system, case_id, school)["id"]
    eventually(lambda: tasks(system, case_id) == [("quarantined_document", first, "open")])
    (task,) = system.caseworker.read("/tasks", case_id=case_id)["items"]
    assert system.caseworker.post(f"/tasks/{task['id']}/done").status_code == 200
    # Another document changes the list; the first is still on it
    second = a_report(system, case_id, school)["id"]
    eventually(lambda: ("quarantined_document", second, "open") in tasks(system, case_id))
    assert ("quarantined_document", first, "done") in tasks(system, case_id)
