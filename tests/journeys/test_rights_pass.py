"""P1, P7, P25: from one day on the young person decides; until they are heard nothing goes out on a parent's word."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import requests

from services.consent.actions import clock
from services.consent.actions.others import people_now
from services.consent.actions.rights import reckon
from services.consent.context import Context
from services.consent.model.rights import rights_pass_on
from shared.uk.working_days import london_day
from tests.helpers import eventually, kill, start
from tests.races.inside import Inside, an_inside
from tests.system import System

ANN = {"name": "Ann Okonkwo", "capacity": "parental_responsibility"}
NOBODY = {"address": None, "email": None, "phone": None}


@pytest.fixture(scope="module")
def inside(system: System) -> Iterator[Inside]:
    with an_inside(system) as opened:
        yield opened


@pytest.fixture
def consent(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> Context:
    """The consent service in this process, for what the clock does on a day that has not come."""
    context: Context = inside.opened("consent", monkeypatch).context
    return context


TODAY = london_day(datetime.now(UTC))
SIXTEEN_LONG_AGO = date(TODAY.year - 18, 3, 1)
SMALL = date(TODAY.year - 7, 3, 1)


def a_family(system: System, *born: date | None) -> tuple[str, str, list[str]]:
    """An open case that a parent agreed to, the parent, and their children."""
    case_id = system.an_open_case()
    parent = system.a_person(case_id)["id"]
    children = [
        system.a_person(case_id, role="child", given_name="Ali", date_of_birth=day and str(day), **NOBODY)["id"]
        for day in born
    ]
    return case_id, parent, children


def decided(system: System, case_id: str, **more: str) -> dict[str, Any]:
    return system.caseworker.read("/decisions", case_id=case_id, purpose="casework", **more)


def tasks(system: System, case_id: str, **more: str) -> list[tuple[str, str, str]]:
    found = system.caseworker.read("/tasks", case_id=case_id, **more)["items"]
    return [(task["kind"], task["subject_id"], task["due_on"]) for task in found]


def the_clock(consent: Context, case_id: str, day: date) -> bool:
    """What the daily clock does for a case on that day; whether it found it due."""
    noon = datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=12)
    due = clock.find_due(consent.stores, now=noon, limit=9999)
    if not any(one.case_id == case_id and one.kind == "rights" for one in due):
        return False
    reckon(consent.stores, case_id=case_id, people=people_now(consent, case_id), now=noon)
    return True


def conflict(answer: requests.Response) -> str:
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:fmn:problem:conflict"), answer.text
    return str(answer.json()["detail"])


def test_a_young_person_s_day_passes(system: System, consent: Context, inside: Inside) -> None:
    # Given a file of a child, which rests on their parent's word
    case_id, parent, (child,) = a_family(system, date(TODAY.year - 12, 3, 1))
    day = rights_pass_on(date(TODAY.year - 12, 3, 1))
    eventually(lambda: consent.stores.rights.of_case(case_id))
    known = inside.rows("consent", "rights", _id=child)[0]
    # Then all that is kept of a date of birth is the day that everyone of that school year shares
    assert {"pass_on": known["pass_on"], "next_on": known["next_on"]} == {
        "pass_on": str(day),
        "next_on": str(day - timedelta(days=60)),
    }
    assert "personal" not in known
    assert decided(system, case_id)["until"].startswith(str(day - timedelta(days=1)))
    # Sixty days before it, and not a day earlier, somebody is told to ask the young person
    assert not the_clock(consent, case_id, day - timedelta(days=61))
    assert the_clock(consent, case_id, day - timedelta(days=60))
    assert tasks(system, case_id, state="open") == [("rights_pass", child, str(day))]
    assert tasks(system, case_id, due_before=str(day)) == [("rights_pass", child, str(day))]
    assert tasks(system, case_id, due_before=str(day - timedelta(days=1))) == []
    assert decided(system, case_id)["allowed"] is True
    # On the day the parent's word covers the file no longer: nothing goes out
    assert the_clock(consent, case_id, day)
    assert decided(system, case_id) == {"allowed": False, "reason": "rights-passed"}
    assert decided(system, case_id, person_id=parent) == {"allowed": False, "reason": "rights-passed"}
    # Those whose work it is still read it
    assert system.caseworker.read(f"/cases/{case_id}")["frozen"] is False
    assert system.caseworker.read("/consents", case_id=case_id)["items"]
    # And nobody asks for anything, or agrees to anything, on parental authority
    asks = {
        "kind": "erasure",
        "case_id": case_id,
        "received_at": datetime.now(UTC).isoformat(),
        "channel": "phone",
        "made_by": {"name": "Ann Okonkwo", "authority": "parental_responsibility"},
    }
    assert "young person" in conflict(system.caseworker.post("/requests", asks))
    assert system.caseworker.read("/requests", case_id=case_id)["items"] == []
    agrees = {
        "case_id": case_id,
        "decision": "given",
        "given_by": ANN,
        "channel": "phone",
        "informed_at": datetime.now(UTC).isoformat(),
        "given_at": datetime.now(UTC).isoformat(),
        "statement_version": system.caseworker.read("/statement")["version"],
        "purposes": [{"purpose": "email"}],
    }
    assert "young person" in conflict(system.caseworker.post("/consents", agrees))
    # Until the young person agrees
    theirs = system.a_consent(case_id, given_by={"name": "Ali Okonkwo", "capacity": "young_person", "person_id": child})
    assert decided(system, case_id)["consent_id"] == theirs["id"]
    assert decided(system, case_id, person_id=parent)["allowed"] is False
    assert tasks(system, case_id, state="open") == []
    assert system.caseworker.post("/requests", asks).status_code == 409
    # Who then asks for themselves
    asks["made_by"] = {"name": "Ali Okonkwo", "person_id": child, "authority": "self"}
    assert system.caseworker.post("/requests", asks).status_code == 201


def test_a_young_person_who_opens_their_own_file_needs_nobody(system: System) -> None:
    case_id = system.a_shell()
    system.a_consent(case_id, given_by={"name": "Ali Okonkwo", "capacity": "young_person"})
    eventually(lambda: system.caseworker.read(f"/cases/{case_id}")["state"] == "open")
    system.a_person(case_id, role="young_person", given_name="Ali", date_of_birth=str(SIXTEEN_LONG_AGO))
    eventually(lambda: [task for task in tasks(system, case_id) if task[0] == "rights_pass"])
    assert tasks(system, case_id, state="open") == []
    assert decided(system, case_id)["allowed"] is True


def test_whoever_can_t_decide_is_represented_by_a_deputy_an_attorney_or_else_a_parent(system: System) -> None:
    # Given a young person whose rights have passed, and who can't decide
    case_id, parent, (child,) = a_family(system, SIXTEEN_LONG_AGO)
    eventually(lambda: decided(system, case_id)["allowed"] is False)

    def decides(who: str, **more: Any) -> dict[str, Any]:
        judged = {"represented_by": who, "how_judged": "assessed at school", "judged_by": "Dr Bo Yılmaz"}
        about = {"name": "Ann Okonkwo", "capacity": "other", "for_person_id": child, "incapacity": judged}
        return {
            "case_id": case_id,
            "decision": "given",
            "given_by": {**about, **more},
            "channel": "in_person",
            "informed_at": datetime.now(UTC).isoformat(),
            "given_at": datetime.now(UTC).isoformat(),
            "statement_version": system.caseworker.read("/statement")["version"],
            "purposes": [{"purpose": "casework"}],
        }

    # A basis of one's own is not enough
    system.a_consent(case_id, given_by={"name": "Ann", "capacity": "other", "basis": "I am their mother"})
    assert decided(system, case_id)["reason"] == "rights-passed"
    # When a deputy does, who says for whom, how that was judged and by whom
    deputy = system.caseworker.made("/consents", decides("deputy", name="Dee Puty"))
    # Then the file is covered, and it is kept
    assert decided(system, case_id)["consent_id"] in {c["id"] for c in _items(system, case_id)}
    assert decided(system, case_id)["allowed"] is True
    kept = system.caseworker.read(f"/consents/{deputy['id']}")["given_by"]["incapacity"]
    assert kept == {"represented_by": "deputy", "how_judged": "assessed at school", "judged_by": "Dr Bo Yılmaz"}
    # A parent only represents whom nobody else does
    assert "deputy" in conflict(system.caseworker.post("/consents", decides("parent", person_id=parent)))
    leaves = {"channel": "letter", "by": "Dee Puty"}
    system.caseworker.made(f"/consents/{deputy['id']}/withdrawal", leaves)
    assert decided(system, case_id)["reason"] in ("rights-passed", "frozen")


def _items(system: System, case_id: str) -> list[dict[str, Any]]:
    return list(system.caseworker.read("/consents", case_id=case_id)["items"])


def test_a_younger_brother_s_file_is_their_parents_still(system: System) -> None:
    case_id, parent, (elder, _) = a_family(system, SIXTEEN_LONG_AGO, SMALL)
    eventually(lambda: decided(system, case_id)["allowed"] is False)
    system.a_consent(case_id, given_by={"name": "Ali", "capacity": "young_person", "person_id": elder})
    assert decided(system, case_id)["allowed"] is True
    # Their parents go on for the younger one, and can't have the elder's file forgotten with it
    system.a_consent(case_id, {"purpose": "email"})
    asked = {"kind": "erasure", "case_id": case_id, "received_at": datetime.now(UTC).isoformat(), "channel": "phone"}
    for authority, who in (("parental_responsibility", parent), ("self", parent)):
        made_by = {"person_id": who, "name": "Ann", "authority": authority}
        conflict(system.caseworker.post("/requests", {**asked, "made_by": made_by}))
    assert system.caseworker.read(f"/cases/{case_id}")["frozen"] is False
    made_by = {"person_id": elder, "name": "Ali", "authority": "self"}
    assert system.caseworker.made("/requests", {**asked, "made_by": made_by})["kind"] == "erasure"


def test_once_the_day_has_passed_no_other_basis_of_a_parent_covers_the_file(system: System) -> None:
    case_id, parent, (young,) = a_family(system, SIXTEEN_LONG_AGO)
    eventually(lambda: decided(system, case_id)["allowed"] is False)
    system.a_consent(case_id, given_by={"name": "Ali", "capacity": "young_person", "person_id": young})
    share = {"purpose": "share", "party": parent}
    mother = {"name": "Ann", "capacity": "other", "basis": "is the mother", "person_id": parent}
    system.a_consent(case_id, {"purpose": "casework"}, share, given_by=mother)
    question = {"case_id": case_id, "purpose": "share", "party": parent}
    assert system.caseworker.read("/decisions", **question)["allowed"] is False


def test_p1_a_child_without_a_date_of_birth_opens_a_task(system: System) -> None:
    case_id, _, (child,) = a_family(system, None)
    found = eventually(lambda: tasks(system, case_id, state="open"))
    assert [(kind, who) for kind, who, _ in found] == [("no_date_of_birth", child)]
    assert decided(system, case_id)["allowed"] is True
    # Once it is known there is nothing to ask
    path = f"/cases/{case_id}/people/{child}"
    etag = system.caseworker.get(path).headers["ETag"]
    answer = system.caseworker.call("PATCH", path, json={"date_of_birth": str(SMALL)}, headers={"If-Match": etag})
    assert answer.status_code == 200, answer.text
    eventually(lambda: tasks(system, case_id, state="open") == [])


def test_p1_the_month_of_the_25th_birthday_opens_a_task(system: System, consent: Context, inside: Inside) -> None:
    case_id, _, (child,) = a_family(system, date(2004, 2, 29))
    eventually(lambda: consent.stores.rights.of_case(case_id))
    known = inside.rows("consent", "rights", _id=child)[0]
    # Only a day that their whole school year shares is kept until that year
    assert known["next_on"] == "2028-09-01"
    assert the_clock(consent, case_id, date(2028, 9, 1))
    assert tasks(system, case_id) == [("rights_pass", child, str(rights_pass_on(date(2004, 2, 29))))]
    assert not the_clock(consent, case_id, date(2029, 1, 31))
    assert the_clock(consent, case_id, date(2029, 2, 1))
    assert tasks(system, case_id)[1:] == [("turns_25", child, "2029-02-28")]
    assert not the_clock(consent, case_id, date(2040, 1, 1))
    # It closes nothing by itself
    assert system.caseworker.read(f"/cases/{case_id}")["state"] == "open"


def test_a_task_is_done_once_and_goes_with_its_case(system: System, inside: Inside) -> None:
    case_id, _, (child,) = a_family(system, None)
    task = eventually(lambda: system.caseworker.read("/tasks", case_id=case_id, state="open")["items"])[0]
    assert system.auditor.post(f"/tasks/{task['id']}/done").status_code == 403
    done = system.caseworker.post(f"/tasks/{task['id']}/done")
    assert (done.status_code, done.json()["state"]) == (200, "done")
    conflict(system.caseworker.post(f"/tasks/{task['id']}/done"))
    assert system.caseworker.post(f"/tasks/{child}/done").status_code == 404
    # It is not opened again by what happens to the people of the case
    system.a_person(case_id, role="other", **NOBODY)
    eventually(lambda: inside.row("consent", "steps", kind="reckon_rights", case_id=case_id) is None)
    assert system.caseworker.read("/tasks", case_id=case_id, state="open")["items"] == []
    # And it is forgotten with the case
    system.confirm(request := system.an_erasure(case_id)["id"])
    inside.completes(request)
    assert inside.rows("consent", "tasks", case_id=case_id) == inside.rows("consent", "rights", case_id=case_id) == []


def test_when_the_case_service_is_away_the_day_is_reckoned_once_it_is_back(system: System, inside: Inside) -> None:
    case_id = system.an_open_case()
    with inside.stopped("consent"):
        child = system.a_person(case_id, role="child", date_of_birth=str(SIXTEEN_LONG_AGO), **NOBODY)["id"]
        # Heard of by the consent service while nobody can say when they were born
        eventually(lambda: inside.rows("case", "outbox", case_id=case_id) == [])
        away = system.process("case-api")
        kill([away])
    try:
        eventually(lambda: inside.row("consent", "steps", kind="reckon_rights", case_id=case_id))
        assert inside.row("consent", "rights", _id=child) is None
    finally:
        start([away])
    eventually(lambda: inside.row("consent", "rights", _id=child))
    eventually(lambda: decided(system, case_id)["reason"] == "rights-passed")


def test_a_child_has_no_parental_responsibility_and_a_file_that_nobody_agrees_to_opens_a_task(system: System) -> None:
    case_id, _, (child,) = a_family(system, SMALL)
    (given,) = _items(system, case_id)
    now = datetime.now(UTC).isoformat()
    body = {"case_id": case_id, "decision": "given", "channel": "phone", "informed_at": now, "given_at": now,
            "statement_version": "1", "purposes": [{"purpose": "casework"}],
            "given_by": {"name": "Ali", "person_id": child, "capacity": "parental_responsibility"}}  # fmt: skip
    wrong = system.caseworker.post("/consents", body)
    assert (wrong.status_code, list(wrong.json()["errors"])) == (400, ["given_by.capacity"])
    # The last one who agreed withdraws, and then takes back that it be forgotten
    withdrawn = system.caseworker.made(f"/consents/{given['id']}/withdrawal", {"channel": "phone", "by": "Ann"})
    request = withdrawn["request_id"]
    back = system.caseworker.post(f"/requests/{request}/withdrawal", {"channel": "phone", "by": "Ann"})
    assert back.json()["status"] == "withdrawn"
    assert "consent_expired" in [kind for kind, *_ in tasks(system, case_id)]
