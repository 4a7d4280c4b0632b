"""P9, P10: a file holds what you want, what we do and what came of it, and of you no more than the case needs."""

from __future__ import annotations

from typing import Any

from tests.helpers import eventually, problem
from tests.system import System


def put_state(system: System, case_id: str, state: str) -> Any:
    etag = system.caseworker.get(f"/cases/{case_id}").headers["ETag"]
    body = {"state": state}
    return system.caseworker.call("PUT", f"/cases/{case_id}/state", json=body, headers={"If-Match": etag})


def test_p9_a_case_can_t_close_before_it_says_what_came_of_it(system: System) -> None:
    # Given a file with what the family wants, and what we did
    case_id = system.an_open_case()
    entries = f"/cases/{case_id}/entries"
    wish = system.caseworker.made(entries, {"kind": "wish", "text": "a place at the school nearby"})
    action = system.caseworker.made(entries, {"kind": "action", "text": "went through the plan with them"})
    # When it is to be closed without a word of what came of it, it isn't
    assert problem(put_state(system, case_id, "closed")) == (409, "conflict")
    assert system.caseworker.read(f"/cases/{case_id}")["state"] == "open"
    # When it is said, be it that nobody knows, it is
    outcome = system.caseworker.made(entries, {"kind": "outcome", "text": "Not known: they moved away."})
    assert put_state(system, case_id, "closed").status_code == 200
    # And all three kinds stay told apart, in the order in which they were written
    kept = [(one["id"], one["kind"]) for one in system.caseworker.read(entries)["items"]]
    assert kept == [(wish["id"], "wish"), (action["id"], "action"), (outcome["id"], "outcome")]


def test_p10_names_and_a_role_are_all_that_a_person_must_give(system: System) -> None:
    # Given a file of people of whom nothing is known but their names
    case_id = system.an_open_case()
    for role in ("parent", "carer", "young_person", "other"):
        person = system.caseworker.made(
            f"/cases/{case_id}/people", {"role": role, "given_name": "Zoë", "family_name": "Łoś"}
        )
        # Then nothing else is made up
        known = {name for name, value in person.items() if value not in (None, [], False)}
        assert known <= {"id", "case_id", "role", "given_name", "family_name", "safe_contact"}
        assert set(person["safe_contact"].values()) == {None}
    # And the work goes on with no more than that
    system.caseworker.made(f"/cases/{case_id}/entries", {"kind": "wish", "text": "somebody to talk to"})
    eventually(lambda: len(system.caseworker.read(f"/cases/{case_id}")["people"]) == 4)


def test_p10_there_is_no_place_for_what_a_case_doesn_t_need(system: System) -> None:
    case_id = system.an_open_case()
    core = {"role": "parent", "given_name": "Zoë", "family_name": "Łoś"}
    for more in ("religion", "ethnicity", "nationality", "national_insurance_number", "photo"):
        refused = system.caseworker.post(f"/cases/{case_id}/people", {**core, more: "x"})
        assert problem(refused) == (400, "invalid"), more
    assert system.caseworker.read(f"/cases/{case_id}/people")["items"] == []
