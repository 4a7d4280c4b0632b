"""P4, P6, P7, P9: shell, consent, people and wishes in one call, while a parent waits on the phone; or nothing."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from bson import encode

from shared.events import SERVICES
from shared.ids import new_id
from tests.helpers import eventually, kill, problem
from tests.races.inside import Inside, an_inside
from tests.system import System

_WISH = "Somebody to come with us to the meeting about the plan"


@pytest.fixture(scope="module")
def inside(system: System) -> Iterator[Inside]:
    with an_inside(system) as found:
        yield found


def an_intake(system: System, *purposes: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What is said on the phone. Its names occur nowhere else: (family name, email) are new each time."""
    now, surname = datetime.now(UTC), f"Quennell-{new_id()[-6:]}"
    return {
        "case": {"channel": "phone"},
        "consent": {
            "decision": "given",
            "given_by": {"name": f"Ottoline {surname}", "person": 0, "capacity": "parental_responsibility"},
            "channel": "phone",
            "informed_at": (now - timedelta(minutes=5)).isoformat(),
            "given_at": now.isoformat(),
            "statement_version": system.caseworker.read("/statement")["version"],
            "purposes": list(purposes) or [{"purpose": "casework"}, {"purpose": "email"}],
        },
        "people": [
            {
                "role": "parent",
                "given_name": "Ottoline",
                "family_name": surname,
                "address": ["14 Dolphin Terrace", "Marlow Vale", "SW1A 1AA"],
                "email": f"{surname.lower()}@family.example",
                "parental_responsibility": True,
            },
            {"role": "child", "given_name": "Wilfred", "family_name": surname, "date_of_birth": "2016-03-04"},
        ],
        "wishes": [{"text": _WISH}, {"kind": "wish", "text": "A plan that names the school"}],
        **more,
    }


def surname_of(intake: dict[str, Any]) -> str:
    return str(intake["people"][0]["family_name"])


def found(system: System, intake: dict[str, Any]) -> list[str]:
    """The cases that its people are found in."""
    answer = system.caseworker.post("/cases/search", {"email": intake["people"][0]["email"]})
    return [item["case_id"] for item in answer.json()["items"]]


def wishes_of(system: System, case_id: str) -> list[str]:
    return [entry["text"] for entry in system.caseworker.read(f"/cases/{case_id}/entries")["items"]]


def cases_there_are(inside: Inside) -> set[str]:
    """Every case that hasn't ended, shells too."""
    ended = {row["_id"] for row in inside.rows("case", "gates", state="closed")}
    return {row["_id"] for row in inside.rows("case", "cases")} - ended


def counted(inside: Inside) -> dict[str, int]:
    """How many records there are of what an intake makes by itself; letters follow by events, each about its case."""
    stores = {"case": ("people", "entries", "intakes"), "consent": ("consents", "intakes", "reviews")}
    return {f"{service}.{name}": len(inside.rows(service, name)) for service in stores for name in stores[service]}


def is_stored(inside: Inside, name: str) -> list[str]:
    """Where a name is to be read: in any document of any database, or in any line of any log."""
    logs = [process.log for process in inside.system.stack.services.values()]
    read = [str(log) for log in logs if name.casefold() in log.read_text(encoding="utf-8").casefold()]
    for service in SERVICES:
        for database in (f"{inside.names}_{service}", f"{inside.names}_{service}_vault"):
            for collection in inside.mongo[database].list_collection_names():
                for row in inside.mongo[database][collection].find():
                    if name.casefold().encode() in encode(row).lower():
                        read.append(f"{database}.{collection}")
    return read


def test_one_call_makes_the_shell_the_consent_the_people_and_their_wishes(system: System, inside: Inside) -> None:
    # When a caseworker takes down, in one call, what a parent says
    intake = an_intake(system)
    answer = system.caseworker.post("/intake", intake)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    case_id = made["id"]
    assert answer.headers["Location"] == f"/v1/cases/{case_id}"
    # Then the case is open at once, with everybody in it, and the answer said it as its own routes do
    shown = system.caseworker.get(f"/cases/{case_id}")
    assert shown.json() == made["case"]
    assert (shown.headers["ETag"], shown.json()["state"]) == (answer.headers["ETag"], "open")
    assert system.caseworker.read(f"/cases/{case_id}/people")["items"] == made["people"] == made["case"]["people"]
    assert [person["role"] for person in made["people"]] == ["parent", "child"]
    assert system.caseworker.read(f"/cases/{case_id}/entries")["items"] == made["wishes"]
    assert (made["wishes"][0]["kind"], made["wishes"][0]["text"]) == ("wish", _WISH)
    assert {wish["recorded_by"] for wish in made["wishes"]} == {"worker-one"}
    # And the consent names who gave it, by the id that the person has now
    (consent,) = system.caseworker.read("/consents", case_id=case_id)["items"]
    assert (consent["id"], consent["given_by"]["person_id"]) == (made["consent"]["id"], made["people"][0]["id"])
    assert {one["purpose"] for one in consent["standing"]} == {"casework", "email"}
    # And they are found, written to, and reviewed like any other family
    assert found(system, intake) == [case_id]
    eventually(lambda: system.caseworker.read("/notifications", case_id=case_id)["items"])
    assert system.caseworker.read("/decisions", case_id=case_id, purpose="casework")["allowed"]
    (review,) = system.caseworker.read("/reviews", case_id=case_id)["items"]
    assert review["person_id"] == made["people"][0]["id"]
    # And whoever looks into the servers reads no name, and finds nobody who still waits to be handed on
    assert is_stored(inside, surname_of(intake)) == []
    assert inside.rows("consent", "intakes") == inside.rows("case", "intakes") == []


def test_a_young_person_speaks_for_themselves(system: System) -> None:
    intake = an_intake(system)
    intake["people"][1] |= {"role": "young_person", "date_of_birth": "2007-03-04"}
    # On a parent's authority it is refused once that has passed
    assert problem(system.caseworker.post("/intake", intake)) == (409, "conflict")
    intake["consent"]["given_by"] |= {"capacity": "young_person", "person": 1}
    made = system.caseworker.made("/intake", intake)
    assert made["consent"]["given_by"]["person_id"] == made["people"][1]["id"]


def test_the_answer_is_repeated_and_the_key_stands_for_this_family_alone(system: System, inside: Inside) -> None:
    intake, key = an_intake(system), new_id()
    first = system.caseworker.post("/intake", intake, Idempotency_Key=key)
    before = counted(inside)
    again = system.caseworker.post("/intake", intake, Idempotency_Key=key)
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert {h: first.headers[h] for h in ("Location", "ETag")} == {h: again.headers[h] for h in ("Location", "ETag")}
    assert problem(system.caseworker.post("/intake", an_intake(system), Idempotency_Key=key)) == (409, "conflict")
    assert counted(inside) == before
    assert found(system, intake) == [first.json()["id"]]
    eventually(lambda: len(inside.rows("notifier", "notifications", case_id=first.json()["id"])) == 1)


def test_a_person_deleted_from_the_case_is_in_no_kept_answer_of_the_intake(system: System, inside: Inside) -> None:
    # Given an intake made with a key, of which the consent service has heard
    intake, key = an_intake(system), new_id()
    made = system.caseworker.post("/intake", intake, Idempotency_Key=key).json()
    case_id, child = made["id"], made["people"][1]["id"]
    eventually(lambda: len((inside.row("consent", "people", case_id=case_id) or {}).get("people", [])) == 2)
    # When the case service forgets one of its people
    answer = system.caseworker.call("DELETE", f"/cases/{case_id}/people/{child}", headers={"If-Match": '"1"'})
    assert answer.status_code == 204
    # Then the answer that showed them goes too
    eventually(lambda: not [r for r in inside.rows("consent", "idempotency", record=case_id) if "personal" in r])
    assert problem(system.caseworker.post("/intake", intake, Idempotency_Key=key)) == (409, "conflict")
    assert found(system, intake) == [case_id]


def test_two_calls_with_one_key_at_once_make_one_file(system: System, inside: Inside) -> None:
    intake, key, before = an_intake(system), new_id(), cases_there_are(inside)
    answers: list[requests.Response] = []

    def send() -> None:
        caller = system.caller("caseworker", sub="worker-one")
        answers.append(caller.post("/intake", intake, Idempotency_Key=key))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {201, 409}
    made = system.caseworker.post("/intake", intake, Idempotency_Key=key).json()
    assert cases_there_are(inside) - before == {made["id"]}
    assert found(system, intake) == [made["id"]]
    assert len(wishes_of(system, made["id"])) == 2


def _without_casework(intake: dict[str, Any]) -> None:
    intake["consent"]["purposes"] = [{"purpose": "email"}]


def _in_the_future(intake: dict[str, Any]) -> None:
    intake["consent"]["given_at"] = (datetime.now(UTC) + timedelta(hours=1)).isoformat()


def _before_informed(intake: dict[str, Any]) -> None:
    intake["consent"]["informed_at"] = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()


def _unknown_party(intake: dict[str, Any]) -> None:
    intake["consent"]["purposes"].append({"purpose": "contact", "party": new_id()})


def _unseen_statement(intake: dict[str, Any]) -> None:
    intake["consent"]["statement_version"] = "999"


def _nobody(intake: dict[str, Any]) -> None:
    intake["consent"]["given_by"]["person"] = 7


def _no_young_person(intake: dict[str, Any]) -> None:
    intake["consent"]["given_by"] |= {"capacity": "young_person", "person": 0}


def _no_email(intake: dict[str, Any]) -> None:
    intake["people"][0]["email"] = "not an address"


def _born_tomorrow(intake: dict[str, Any]) -> None:
    intake["people"][1]["date_of_birth"] = f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%d}"


def _a_parent_apart(intake: dict[str, Any]) -> None:
    intake["people"][0]["kept_apart"] = True


def _long_ago(intake: dict[str, Any]) -> None:
    intake["wishes"][1]["at"] = "1066-10-14T12:00:00Z"


def _an_outcome(intake: dict[str, Any]) -> None:
    intake["wishes"][0]["kind"] = "outcome"


def _more_than_the_contract(intake: dict[str, Any]) -> None:
    intake["people"][0]["shoe_size"] = 7


def _declined(intake: dict[str, Any]) -> None:
    intake["consent"]["decision"] = "declined"


def _for_a_case(intake: dict[str, Any]) -> None:
    intake["consent"]["case_id"] = new_id()


@pytest.mark.parametrize(
    ("change", "status", "name", "field"),
    [
        (_without_casework, 409, "consent-required", None),
        (_in_the_future, 400, "invalid", "consent.given_at"),
        (_before_informed, 400, "invalid", "consent.given_at"),
        (_unknown_party, 400, "invalid", "consent.purposes"),
        (_unseen_statement, 400, "invalid", "consent.statement_version"),
        (_nobody, 400, "invalid", "consent.given_by.person"),
        (_no_young_person, 400, "invalid", "consent.given_by.person"),
        (_no_email, 400, "invalid", "people.0.email"),
        (_born_tomorrow, 400, "invalid", "people.1.date_of_birth"),
        (_a_parent_apart, 400, "invalid", "people.0.kept_apart"),
        (_long_ago, 400, "invalid", "wishes.1.at"),
        (_an_outcome, 400, "invalid", "wishes.0.kind"),
        (_more_than_the_contract, 400, "invalid", "people.0.shoe_size"),
        (_declined, 400, "invalid", "consent.decision"),
        (_for_a_case, 400, "invalid", "consent.case_id"),
    ],
)
def test_whatever_is_wrong_with_any_part_nothing_is_made(
    system: System, inside: Inside, change: Any, status: int, name: str, field: str | None
) -> None:
    intake = an_intake(system)
    change(intake)
    before, cases = counted(inside), cases_there_are(inside)
    answer = system.caseworker.post("/intake", intake, Idempotency_Key=new_id())
    assert problem(answer) == (status, name)
    assert field is None or list(answer.json()["errors"]) == [field]
    assert surname_of(intake) not in answer.text
    # No case, consent, person, entry or letter is left, and nothing reads as a name
    assert (counted(inside), cases_there_are(inside)) == (before, cases)
    assert {row["case_id"] for row in inside.rows("notifier", "notifications")} <= cases
    assert found(system, intake) == []
    assert is_stored(inside, surname_of(intake)) == []


def test_a_key_whose_intake_was_refused_serves_for_the_one_put_right(system: System) -> None:
    key, intake = new_id(), an_intake(system)
    wrong = copy.deepcopy(intake)
    _no_email(wrong)
    assert problem(system.caseworker.post("/intake", wrong, Idempotency_Key=key)) == (400, "invalid")
    made = system.caseworker.post("/intake", intake, Idempotency_Key=key)
    assert made.status_code == 201
    assert found(system, intake) == [made.json()["id"]]


@pytest.mark.parametrize("role", ["auditor", "data_protection", "safeguarding_lead"])
def test_only_who_does_casework_takes_anyone_in(system: System, role: str) -> None:
    assert problem(system.caller(role).post("/intake", an_intake(system))) == (403, "forbidden")


def test_its_parts_in_the_case_service_are_nobodys_but_the_consent_services(system: System) -> None:
    case_id = system.a_shell()
    for path in (f"/cases/{case_id}/intake/shell", f"/cases/{case_id}/intake"):
        assert problem(system.manager.post(path, {})) == (403, "forbidden")


def test_it_is_audited_in_the_callers_name(system: System) -> None:
    made = system.caseworker.made("/intake", an_intake(system))
    (row,) = [
        row
        for row in system.auditor.read("/audit/consent", case_id=made["id"], limit=200)["items"]
        if row["action"] == "intake.take_in"
    ]
    assert (row["sub"], row["outcome"], row["status"]) == ("worker-one", "done", 201)


def test_nothing_is_made_while_the_case_service_is_away_and_the_same_key_serves_afterwards(
    system: System, inside: Inside
) -> None:
    intake, key = an_intake(system), new_id()
    before, cases = counted(inside), cases_there_are(inside)
    api = system.process("case-api")
    kill([api])
    try:
        assert problem(system.caseworker.post("/intake", intake, Idempotency_Key=key)) == (503, "unavailable")
        assert (counted(inside), cases_there_are(inside)) == (before, cases)
        assert is_stored(inside, surname_of(intake)) == []
    finally:
        api.start()
        api.wait_ready()
    made = system.caseworker.post("/intake", intake, Idempotency_Key=key)
    assert made.status_code == 201, made.text
    assert found(system, intake) == [made.json()["id"]]
    eventually(lambda: cases_there_are(inside) - cases == {made.json()["id"]})
