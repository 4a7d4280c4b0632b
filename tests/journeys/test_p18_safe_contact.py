"""P18: you are reached in the way that is safe for you, and in no other."""

from __future__ import annotations

import io
from typing import Any

import pikepdf

from deploy.local import mongo
from tests.helpers import eventually, kill, start
from tests.system import System


def _letters(system: System, before: set[str]) -> list[str]:
    return [path.name for path in system.provided.post.glob("*.pdf") if path.name not in before]


def _safe(system: System, case_id: str, person: str, **said: Any) -> Any:
    path = f"/cases/{case_id}/people/{person}/safe-contact"
    etag = system.caseworker.get(path).headers["ETag"]
    return system.caseworker.call("PUT", path, json=said, headers={"If-Match": etag})


def _notified(system: System, case_id: str) -> list[dict[str, Any]]:
    return list(system.caseworker.read("/notifications", case_id=case_id)["items"])


def _asked_for(system: System, case_id: str, person: str) -> Any:
    return system.caseworker.post(
        "/notifications", {"case_id": case_id, "person_id": person, "template": "opening", "values": {}}
    )


def test_p18_a_way_given_with_you_counts_as_asked_about_and_any_other_is_not_used(system: System) -> None:
    case_id = system.an_open_case()
    person = system.a_person(case_id, phone=None)
    safe = system.caseworker.read(f"/cases/{case_id}/people/{person['id']}/safe-contact")
    assert (safe["post"], safe["email"], safe["phone"], safe["voicemail"], safe["text"]) == (
        "yes",
        "yes",
        None,
        None,
        None,
    )
    assert safe["asked_at"] is not None
    assert person["safe_contact"] == safe


def test_p18_where_post_is_not_safe_no_letter_goes(system: System) -> None:
    case_id = system.an_open_case()
    person = system.a_person(case_id)["id"]
    eventually(lambda: [one["status"] for one in _notified(system, case_id)] == ["delivered"])
    assert _safe(system, case_id, person, post="no", phone="yes").status_code == 200
    refused = _asked_for(system, case_id, person)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:fmn:problem:conflict")
    # And why: there is an address, but it isn't safe
    assert "safe contact doesn't allow" in refused.json()["detail"]


def test_p18_plain_post_faces_the_envelope_with_an_address_and_nothing_else(system: System) -> None:
    case_id = system.an_open_case()
    person = system.a_person(case_id)["id"]
    eventually(lambda: [one["status"] for one in _notified(system, case_id)] == ["delivered"])
    assert _safe(system, case_id, person, post="plain").status_code == 200
    made = _asked_for(system, case_id, person).json()["id"]
    eventually(lambda: system.caseworker.read(f"/notifications/{made}")["status"] == "delivered")
    (path,) = system.provided.post.glob(f"*{made}*.pdf")
    with pikepdf.open(io.BytesIO(path.read_bytes())) as pdf:
        assert len(pdf.pages) >= 2
        assert "/Author" not in pdf.docinfo
        assert str(pdf.docinfo["/Title"]) == "A letter"
        # The address alone: a few hundred bytes of marks, where the letter's own first page has thousands.
        sheets = [len(page.Contents.read_bytes()) for page in pdf.pages]
        assert sheets[0] * 3 < sheets[1]


def test_p18_the_only_person_of_a_file_is_not_left_without_any_way(system: System) -> None:
    case_id = system.an_open_case()
    person = system.a_person(case_id)
    never = dict.fromkeys(("post", "email", "phone", "voicemail", "text"), "no")
    refused = _safe(system, case_id, person["id"], **never)
    assert (refused.status_code, refused.json()["type"]) == (400, "urn:fmn:problem:invalid")
    assert system.caseworker.read(f"/cases/{case_id}/people/{person['id']}")["safe_contact"]["post"] == "yes"


def test_p18_safe_contact_and_stopping_stay_changeable_while_frozen_and_no_last_letter_goes(system: System) -> None:
    # Given a family that asked to be forgotten, and whose home is not safe since
    case_id = system.an_open_case()
    person = system.a_person(case_id)["id"]
    eventually(lambda: [one["status"] for one in _notified(system, case_id)] == ["delivered"])
    before = {path.name for path in system.provided.post.glob("*.pdf")}
    request = system.an_erasure(case_id)["id"]
    eventually(lambda: system.caseworker.read(f"/cases/{case_id}")["frozen"])
    assert _safe(system, case_id, person, post="no", phone="yes").status_code == 200
    stopped = system.caseworker.call("PUT", f"/cases/{case_id}/stop-all", json={"reason": "court_order"})
    assert stopped.status_code == 200
    assert system.caseworker.read(f"/cases/{case_id}")["contact_stopped"] is True
    # When it is confirmed
    system.confirm(request)
    eventually(lambda: system.is_completed(request))
    # Then nothing was sent
    assert _letters(system, before) == []
    certificate = system.auditor.get(f"/requests/{request}/certificate")
    assert certificate.status_code == 200


def test_p18_after_a_death_what_is_queued_is_cancelled_and_nothing_new_is_taken(system: System) -> None:
    # Given a family whose opening letter hasn't gone when all contact is stopped
    worker = system.process("notifier-worker")
    kill([worker])
    try:
        case_id = system.an_open_case()
        before = {path.name for path in system.provided.post.glob("*.pdf")}
        person = system.a_person(case_id)["id"]
        stopped = system.caseworker.call("PUT", f"/cases/{case_id}/stop-all", json={"reason": "death"})
        assert stopped.status_code == 200
    finally:
        start([worker])
    # When it would be sent, it is cancelled
    eventually(lambda: [one["status"] for one in _notified(system, case_id)] == ["cancelled"])
    refused = _asked_for(system, case_id, person)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:fmn:problem:conflict")
    # Lifting is a manager's, and then the opening letter goes after all
    assert system.caseworker.call("DELETE", f"/cases/{case_id}/stop-all").status_code == 403
    assert _letters(system, before) == []
    assert system.manager.call("DELETE", f"/cases/{case_id}/stop-all").status_code == 204
    eventually(lambda: [one["status"] for one in _notified(system, case_id)] == ["delivered"])


def test_p18_a_family_in_which_somebody_is_kept_apart_is_found_first_and_its_household_gets_no_post(
    system: System,
) -> None:
    email = "both.files@family.example"
    plain_case, apart_case = system.an_open_case(), system.an_open_case()
    home = ["7 Quiet Row", "Ely", "CB7 4QJ"]
    system.a_person(plain_case, email=email)
    system.a_person(
        apart_case, role="young_person", given_name="Kit", address=home, email=email, kept_apart=True, phone=None
    )
    mother = system.a_person(apart_case, address=home)["id"]
    found = system.caseworker.call("POST", "/cases/search", json={"email": email}).json()["items"]
    assert [(one["case_id"], one.get("kept_apart")) for one in found] == [(apart_case, True), (plain_case, None)]
    reach = {one["person_id"]: one["post"] for one in system.caseworker.read(f"/cases/{apart_case}")["reach"]}
    assert set(reach.values()) == {"no"}
    assert _asked_for(system, apart_case, mother).status_code == 409


def _tasks(system: System, case_id: str) -> list[tuple[str, str, str]]:
    found = system.caseworker.read("/tasks", case_id=case_id)["items"]
    return [(task["kind"], task["subject_id"], task["state"]) for task in found]


def test_p18_whoever_refuses_every_way_is_to_be_called_once(system: System) -> None:
    # Given a file of two people, of whom one says no to every way
    case_id = system.an_open_case()
    system.a_person(case_id)
    bo = system.a_person(case_id, role="carer", given_name="Bo", email=None)["id"]
    never = dict.fromkeys(("post", "email", "phone", "voicemail", "text"), "no")
    assert _safe(system, case_id, bo, **never).status_code == 200
    # Then there is a call to make
    eventually(lambda: _tasks(system, case_id) == [("call", bo, "open")])
    assert {one["person_id"]: one["post"] for one in system.caseworker.read(f"/cases/{case_id}")["reach"]}[bo] == "no"
    # It is settled as soon as they allow a way, and there again when they don't
    assert _safe(system, case_id, bo, **never | {"text": "yes"}).status_code == 200
    eventually(lambda: _tasks(system, case_id) == [("call", bo, "done")])
    assert _safe(system, case_id, bo, **never).status_code == 200
    eventually(lambda: _tasks(system, case_id) == [("call", bo, "open")])
    # Once somebody has called it isn't asked for again, whoever joins the file
    task = system.caseworker.read("/tasks", case_id=case_id)["items"][0]["id"]
    assert system.caseworker.post(f"/tasks/{task}/done").status_code == 200
    zoe = system.a_person(case_id, role="child", given_name="Zoe", address=None, email=None, phone=None)["id"]
    eventually(lambda: ("no_date_of_birth", zoe, "open") in _tasks(system, case_id))
    assert ("call", bo, "done") in _tasks(system, case_id)


def test_p18_stopping_all_contact_cancels_what_is_queued(system: System) -> None:
    case_id = system.an_open_case()
    person = system.a_person(case_id)["id"]
    eventually(lambda: [one["status"] for one in _notified(system, case_id)] == ["delivered"])
    before = {path.name for path in system.provided.post.glob("*.pdf")}
    # Given a letter that waits, since whoever sends it is away
    with system.away("notifier-worker"):
        made = _asked_for(system, case_id, person)
        assert made.status_code == 202, made.text
        # When a court orders that nobody of the family is written to
        stop = {"reason": "court_order"}
        assert system.caseworker.call("PUT", f"/cases/{case_id}/stop-all", json=stop).status_code == 200
    # Then it is cancelled, and never goes
    path = f"/notifications/{made.json()['id']}"
    eventually(lambda: system.caseworker.read(path)["status"] == "cancelled")
    assert _letters(system, before) == []


def test_p18_that_a_family_is_reached_in_another_way_now_is_entered_for_a_restore(system: System) -> None:
    case_id = system.an_open_case()
    person = system.a_person(case_id)["id"]
    with mongo.admin_client(system.stack.places, system.stack.ports) as client:
        ledger = client[f"{system.provided.prefix}_ledger"]["ledger"]
        assert _safe(system, case_id, person, post="no", phone="yes").status_code == 200
        eventually(lambda: ledger.count_documents({"case_id": case_id}) == 1)
        entry = ledger.find_one({"case_id": case_id})
    # It says case and time, and nothing of the person
    assert entry is not None
    assert set(entry) == {"_id", "kind", "about", "case_id", "at", "before", "hash", "signature"}
    assert entry["kind"] == "contact_changed"
    assert person not in entry.values()
