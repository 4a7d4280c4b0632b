"""Letters in a script that no font has: held with a task instead of arriving as boxes, and sent once they can be."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.local.stack import Stack
from tests.helpers import eventually, refused
from tests.service.notifier_rig import Rig, notifier_rig
from tests.service.test_notifier_last_letter import a_confirmed_erasure, nothing_is_left, outcome

pytestmark = pytest.mark.xdist_group("notifier")


@pytest.fixture(scope="module")
def rig(stack: Stack, worker_id: str) -> Rig:
    return notifier_rig(stack, worker_id)


def tasks(rig: Rig, case_id: str) -> list[tuple[str, str, str]]:
    found = rig.system.caseworker.read("/tasks", case_id=case_id)["items"]
    return [(one["kind"], one["subject_id"], one["state"]) for one in found]


def has_tasks(rig: Rig, case_id: str, **states: str) -> None:
    """The case's tasks about letters, by the letter's id with underscores."""
    expected = sorted(("letter_not_printable", id, state) for id, state in states.items())
    eventually(lambda: sorted(tasks(rig, case_id)) == expected)


def change(rig: Rig, case_id: str, person: str, **fields: Any) -> None:
    path = f"/cases/{case_id}/people/{person}"
    tag = rig.system.caseworker.get(path).headers["ETag"]
    answer = rig.system.caseworker.call("PATCH", path, json=fields, headers={"If-Match": tag})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "person",
    [
        {"given_name": "ሰላም"},
        {"family_name": "李"},
        {"given_name": "Zoë 😀"},
        {"address": ["14 さくら Terrace", "Marlow Vale", "SW1A 1AA"]},
    ],
    ids=["Amharic", "Chinese", "emoji", "an address"],
)
def test_p18_a_letter_that_no_font_can_print_is_held_and_a_task_opens(rig: Rig, person: dict[str, Any]) -> None:
    before = rig.post
    case_id, who = rig.a_reachable_case(**person)
    (held,) = rig.has_ended(case_id, "needs_attention")
    assert (held["person_id"], held["reason"], held["channel"]) == (who, "script_not_printable", "letter")
    has_tasks(rig, case_id, **{held["id"]: "open"})
    assert rig.post == before
    refused(rig.system.caseworker.post(f"/notifications/{held['id']}/returned"), 409, "conflict")
    # Nothing of it is kept, for nothing was written
    assert rig.system.caseworker.get(f"/notifications/{held['id']}/content").status_code == 404


@pytest.mark.parametrize("name", ["عائشة", "סבטלנה", "नेपाली", "ქეთევან"])
def test_a_letter_in_a_script_that_a_font_has_goes(rig: Rig, name: str) -> None:
    case_id, _ = rig.a_reachable_case(given_name=name, family_name=name)
    (sent,) = rig.has_ended(case_id, "delivered")
    assert rig.printed(sent["id"])
    assert tasks(rig, case_id) == []


def test_it_goes_by_itself_once_the_name_is_one_that_can_be_printed(rig: Rig) -> None:
    case_id, who = rig.a_reachable_case(given_name="ሰላም")
    (held,) = rig.has_ended(case_id, "needs_attention")
    has_tasks(rig, case_id, **{held["id"]: "open"})
    # A change that leaves it as it is holds it on
    change(rig, case_id, who, phone=None)
    eventually(rig.is_quiet)
    assert rig.notifications(case_id) == [held]
    change(rig, case_id, who, given_name="Selam")
    (sent,) = rig.has_ended(case_id, "delivered")
    assert sent["id"] == held["id"]
    assert rig.printed(sent["id"])
    has_tasks(rig, case_id, **{held["id"]: "done"})


def test_an_email_carries_every_script_and_goes_once_it_is_agreed_to(rig: Rig) -> None:
    case_id, _ = rig.a_reachable_case("casework", "email", given_name="李", email="script@family.example")
    (sent,) = rig.has_ended(case_id, "delivered")
    assert sent["channel"] == "email"
    (mail,) = rig.relay.to("script@family.example")
    body = mail.get_body(("plain",))
    assert body is not None
    assert "李" in body.get_content()
    # Held as a letter, and sent as an email
    case_id, _ = rig.a_reachable_case(given_name="李", email="later@family.example")
    (held,) = rig.has_ended(case_id, "needs_attention")
    rig.system.a_consent(case_id, {"purpose": "casework"}, {"purpose": "email"})
    (sent,) = rig.has_ended(case_id, "delivered")
    assert (sent["id"], sent["channel"]) == (held["id"], "email")
    assert len(rig.relay.to("later@family.example")) == 1
    has_tasks(rig, case_id, **{held["id"]: "done"})


def test_a_letter_that_is_cancelled_or_written_by_hand_needs_no_task(rig: Rig) -> None:
    case_id, who = rig.a_reachable_case(given_name="ሰላም")
    (held,) = rig.has_ended(case_id, "needs_attention")
    has_tasks(rig, case_id, **{held["id"]: "open"})
    (task,) = rig.system.caseworker.read("/tasks", case_id=case_id)["items"]
    assert rig.system.caseworker.post(f"/tasks/{task['id']}/done").status_code == 200
    # A value that a caller gives can't be printed either, and it is another letter
    body = {"case_id": case_id, "person_id": who, "template": "opening", "values": {"reference": "参照"}}
    change(rig, case_id, who, given_name="Selam")
    rig.has_ended(case_id, "delivered")
    made = rig.system.caseworker.made("/notifications", body)["id"]
    eventually(lambda: rig.system.caseworker.read(f"/notifications/{made}").get("reason") == "script_not_printable")
    has_tasks(rig, case_id, **{held["id"]: "done", made: "open"})
    answer = rig.system.caseworker.post(f"/notifications/{made}/cancellation")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    has_tasks(rig, case_id, **{held["id"]: "done", made: "done"})


def test_a_preview_says_that_it_cannot_be_printed(rig: Rig) -> None:
    said = {"values": {"reference": "参照"}}
    refused(rig.system.manager.post("/templates/review/preview", said), 400, "invalid")
    assert rig.system.manager.post("/templates/review/preview", {**said, "channel": "email"}).status_code == 200


def test_p24_an_erasure_is_not_held_by_a_last_letter_that_no_font_can_print(rig: Rig) -> None:
    case_id, _ = rig.a_reachable_case(given_name="ሰላም")
    rig.has_ended(case_id, "needs_attention")
    before = rig.post
    request = a_confirmed_erasure(rig, case_id)
    assert outcome(rig, request) == "undeliverable"
    assert rig.post == before
    assert nothing_is_left(rig, request)


def test_p24_a_last_letter_that_one_person_cannot_be_sent_goes_to_the_others(rig: Rig) -> None:
    case_id, _ = rig.a_reachable_case("casework", "email", given_name="ሰላም", email="selam@family.example")
    rig.has_ended(case_id, "delivered")
    other = rig.system.a_person(case_id, role="carer", given_name="李", email=None)["id"]
    given_by = {"name": "Li", "person_id": other, "capacity": "parental_responsibility"}
    rig.system.a_consent(case_id, {"purpose": "casework"}, given_by=given_by)
    rig.has_ended(case_id, "needs_attention", count=2)
    request = a_confirmed_erasure(rig, case_id)
    assert outcome(rig, request) == "sent"
    assert len(rig.relay.to("selam@family.example")) == 2
    assert sorted(rig.last_letter(request)["ended"]) == ["sent", "undeliverable"]
