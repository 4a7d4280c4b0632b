"""The timeline and the states of a case over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from deploy.local.stack import Stack
from shared.clock import utc_now
from shared.ids import new_id
from tests.helpers import eventually, refused
from tests.service.case_rig import Answer, Rig, rig_on

pytestmark = pytest.mark.xdist_group("case")


@pytest.fixture(scope="module")
def rig(stack: Stack, worker_id: str) -> Rig:
    return rig_on(stack, worker_id)


def an_entry(rig: Rig, case_id: str, *, role: str = "caseworker", **more: Any) -> Answer:
    return rig.ask("POST", f"/cases/{case_id}/entries", {"kind": "note", "text": "x", **more}, role=role)


def put_state(rig: Rig, case_id: str, state: str, *, role: str = "caseworker", match: str = "*") -> Answer:
    return rig.ask("PUT", f"/cases/{case_id}/state", {"state": state}, role=role, match=match)


@pytest.mark.parametrize("kind", ["wish", "action", "outcome", "note", "meeting"])
def test_p9_wishes_actions_and_outcomes_are_kinds_of_entry(rig: Rig, kind: str) -> None:
    case_id = rig.a_case()
    words = "A place at Ysgol Ŵyl, where Zoë is understood.\n\n– She said so herself."

    made = an_entry(rig, case_id, kind=kind, text=words, at="2026-03-02T09:15:00+01:00")

    entry = made.json()
    assert made.status_code == 201
    assert (entry["kind"], entry["text"], entry["at"]) == (kind, words, "2026-03-02T08:15:00.000Z")
    assert (entry["recorded_by"], entry["corrects"], entry["corrected_by"]) == ("a.caseworker", None, [])
    assert rig.ask("GET", made.headers["Location"].removeprefix("/v1")).json() == entry
    assert rig.ask("GET", f"/cases/{case_id}/entries").json() == {"items": [entry], "next": None}
    assert b"understood" not in rig.everything_stored()


def test_p12_a_correction_shows_both(rig: Rig) -> None:
    case_id = rig.a_case()
    first = an_entry(rig, case_id, text="The meeting is in May").json()["id"]
    second = an_entry(rig, case_id, text="The meeting is in June", corrects=first).json()["id"]
    third = an_entry(rig, case_id, text="The meeting is in July", corrects=first).json()["id"]

    listed = rig.ask("GET", f"/cases/{case_id}/entries").json()["items"]

    assert [(entry["id"], entry["corrects"], entry["corrected_by"]) for entry in listed] == [
        (first, None, [second, third]),
        (second, first, []),
        (third, first, []),
    ]
    assert rig.ask("GET", f"/cases/{case_id}/entries/{first}").json() == listed[0]
    for method in ("PUT", "PATCH", "DELETE"):
        refused(rig.ask(method, f"/cases/{case_id}/entries/{first}"), 405, "method-not-allowed")


def test_p12_an_entry_corrects_one_of_the_same_case(rig: Rig) -> None:
    case_id, other = rig.a_case(), rig.a_case()
    of_other = an_entry(rig, other).json()["id"]
    person = rig.a_person(case_id).json()["id"]

    for wrong in (of_other, person, new_id(), "1"):
        said = refused(an_entry(rig, case_id, corrects=wrong), 400, "invalid")
        assert set(said["errors"]) == {"corrects"}
    assert rig.rows("entries", case_id) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "diagnosis"},
        {"kind": None},
        {"text": " \n "},
        {"text": "x" * 20_001},
        {"text": ["x"]},
        {"text": "\x07"},
        {"at": "2026-03-02T09:15:00"},
        {"at": "yesterday"},
        {"at": "9999-12-31T23:59:59-01:00"},
        {"at": "0001-01-01T00:00:00+01:00"},
        {"at": "2031-01-01T00:00:00Z"},
        {"level": 0},
        {"level": 5},
        {"level": "2"},
        {"level": True},
        {"mood": "sad"},
    ],
)
def test_what_is_no_entry_is_refused(rig: Rig, wrong: dict[str, Any]) -> None:
    case_id = rig.a_case()

    refused(an_entry(rig, case_id, role="manager", **wrong), 400, "invalid")

    assert rig.rows("entries", case_id) == []


def test_a_long_entry_and_a_meeting_to_come_are_taken(rig: Rig) -> None:
    case_id = rig.a_case()
    soon = (utc_now() + timedelta(days=90)).isoformat()

    assert an_entry(rig, case_id, text="é" * 20_000).status_code == 201
    assert an_entry(rig, case_id, kind="meeting", text="Review, county hall", at=soon).status_code == 201


def test_the_level_of_work_is_a_managers(rig: Rig) -> None:
    case_id = rig.a_case()

    refused(an_entry(rig, case_id, level=2), 403, "forbidden")
    assert rig.ask("GET", f"/cases/{case_id}").json()["level"] is None
    assert an_entry(rig, case_id, level=2, role="manager").json()["level"] == 2
    assert rig.ask("GET", f"/cases/{case_id}").json()["level"] == 2
    assert len(rig.rows("entries", case_id)) == 1


def test_entries_come_page_by_page_in_the_order_recorded(rig: Rig) -> None:
    case_id = rig.a_case()
    made = [an_entry(rig, case_id, text=f"number {n}").json()["id"] for n in range(5)]

    first = rig.ask("GET", f"/cases/{case_id}/entries?limit=3").json()
    second = rig.ask("GET", f"/cases/{case_id}/entries?limit=3&cursor={first['next']}").json()

    assert [entry["id"] for entry in first["items"] + second["items"]] == made
    assert second["next"] is None


def test_p9_a_case_closes_only_with_an_outcome(rig: Rig) -> None:
    case_id = rig.a_case()
    an_entry(rig, case_id, kind="wish")

    refused(put_state(rig, case_id, "closed"), 409, "conflict")
    assert rig.ask("GET", f"/cases/{case_id}").json()["state"] == "open"
    an_entry(rig, case_id, kind="outcome", text="Not known.")
    closed = put_state(rig, case_id, "closed", match=rig.ask("GET", f"/cases/{case_id}").headers["ETag"])

    assert (closed.status_code, closed.json()["state"]) == (200, "closed")
    assert closed.headers["ETag"] == rig.ask("GET", f"/cases/{case_id}").headers["ETag"]
    eventually(lambda: [said["state"] for said in rig.told("case.state", case_id)] == ["open", "closed"])


def test_reopening_is_a_managers(rig: Rig) -> None:
    case_id = rig.a_case()
    an_entry(rig, case_id, kind="outcome")
    put_state(rig, case_id, "closed")

    for state in ("open", "inactive"):
        refused(put_state(rig, case_id, state), 403, "forbidden")
        refused(put_state(rig, case_id, state, role="app"), 403, "forbidden")
    assert put_state(rig, case_id, "closed").status_code == 200
    assert put_state(rig, case_id, "open", role="manager").json()["state"] == "open"


def test_p20_inactive_is_not_closed(rig: Rig) -> None:
    case_id = rig.a_case()

    assert put_state(rig, case_id, "inactive").json()["state"] == "inactive"
    assert an_entry(rig, case_id).status_code == 201
    assert put_state(rig, case_id, "open").json()["state"] == "open"


def test_p4_a_shell_is_opened_by_consent_alone(rig: Rig) -> None:
    shell = rig.a_shell()["id"]

    for state in ("open", "inactive", "closed"):
        refused(put_state(rig, shell, state, role="manager"), 409, "consent-required")
    for wrong in ("shell", "erased", None, 1):
        refused(rig.ask("PUT", f"/cases/{shell}/state", {"state": wrong}, match="*"), 400, "invalid")


def test_a_state_is_put_on_the_version_that_was_read(rig: Rig) -> None:
    case_id = rig.a_case()
    read = rig.ask("GET", f"/cases/{case_id}").headers["ETag"]

    refused(rig.ask("PUT", f"/cases/{case_id}/state", {"state": "inactive"}), 428, "precondition-required")
    assert put_state(rig, case_id, "inactive", match=read).status_code == 200
    refused(put_state(rig, case_id, "open", match=read), 412, "changed")
