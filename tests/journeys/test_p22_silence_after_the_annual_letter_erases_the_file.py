"""P20, P21, P22: once a year each person is written to; only silence of who was reached ends the file.

Told through the API and `forgetmenot clock run --now`, on a stack of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from deploy.local.stack import Stack
from tests.helpers import eventually
from tests.journeys.clock_rig import Clock, a_clock

pytestmark = pytest.mark.xdist_group("clock-p22")

BY_PHONE = {"channel": "phone", "by": "Żaneta Okonkwo-Łukasik"}


@pytest.fixture(scope="module")
def clock(stack: Stack, worker_id: str) -> Iterator[Clock]:
    with a_clock(stack, f"clk{worker_id}") as opened:
        yield opened


def a_family(clock: Clock) -> str:
    case_id = clock.system.an_open_case()
    clock.system.a_person(case_id)
    return case_id


def test_p22_silence_after_the_annual_letter_erases_the_file(clock: Clock) -> None:
    system, start = clock.system, datetime.now(UTC)
    # Given a family with an open file, which stays open to dip in and out of
    case_id = a_family(clock)
    review = clock.the_review(case_id, state="scheduled")
    assert review["due_on"][:4] == str((start + timedelta(days=365)).year)
    path = f"/cases/{case_id}"
    etag = system.caseworker.get(path).headers["ETag"]
    moved = system.caseworker.call("PUT", f"{path}/state", json={"state": "inactive"}, headers={"If-Match": etag})
    assert moved.status_code == 200, moved.text
    # When a year has passed they are written to, once however often the clock runs
    clock.a_year_passes()
    clock.written_to(case_id)
    clock.ahead(seconds=1)
    clock.ahead(days=13)
    assert clock.the_review(case_id)["reminded_at"] is None
    # At 14 days they are reminded
    clock.ahead(days=1)
    clock.written_to(case_id, template="review_reminder")
    clock.ahead(days=13)
    clock.stays_open(case_id)
    # At 28 the file is frozen, and an erasure is asked for
    clock.ahead(days=2)
    asked = eventually(lambda: clock.the_review(case_id)["request_id"])
    eventually(lambda: clock.is_frozen(case_id))
    assert system.waits_on(asked) == ["confirmation"]
    # Which a person confirms, and which ends as any other
    system.confirm(asked)
    eventually(lambda: system.is_completed(asked))
    assert system.caseworker.get(f"/requests/{asked}/certificate").status_code == 200
    assert system.caseworker.get(f"/reviews/{review['id']}").status_code == 404
    clock.ahead(days=1)


def test_p22_who_renews_is_asked_again_in_a_year(clock: Clock) -> None:
    system, case_id = clock.system, a_family(clock)
    system.a_consent(case_id, {"purpose": "email"})
    clock.a_year_passes()
    review = clock.the_review(case_id, state="asked")
    # When they say yes, everything that they agreed to goes on
    path = f"/reviews/{review['id']}/answer"
    said = system.caseworker.post(path, {"decision": "renew", **BY_PHONE})
    assert (said.status_code, said.json()["state"]) == (200, "answered"), said.text
    newest = system.caseworker.read("/consents", case_id=case_id)["items"][-1]
    assert {grant["purpose"] for grant in newest["standing"]} == {"casework", "email"}
    # The same answer again is the first one; another is refused, and changes nothing
    again = system.caseworker.post(path, {"decision": "renew", **BY_PHONE})
    assert (again.status_code, again.json()) == (200, said.json())
    other = system.caseworker.post(path, {"decision": "forget", **BY_PHONE})
    assert (other.status_code, other.json()["type"]) == (409, "urn:fmn:problem:conflict")
    # Then nobody waits for them until another year has passed
    clock.ahead(days=60)
    clock.stays_open(case_id)
    latest = clock.reviews(case_id)[-1]
    assert (latest["state"], latest["consent_id"]) == ("scheduled", newest["id"])
    assert latest["due_on"] > str((clock.now + timedelta(days=300)).date())


def test_p22_a_letter_that_came_back_is_no_silence(clock: Clock) -> None:
    system, case_id = clock.system, clock.system.an_open_case()
    person = system.a_person(case_id, email=None)
    clock.a_year_passes()
    (letter,) = clock.written_to(case_id)
    # When the letter comes back there is something to do, and silence doesn't count
    assert system.caseworker.post(f"/notifications/{letter['id']}/returned").status_code == 200
    eventually(lambda: clock.tasks(case_id) == ["returned_post"])
    clock.ahead(days=29)
    assert clock.the_review(case_id, state="asked")["reminded_at"] is None
    clock.stays_open(case_id)
    # Until there is a second address: they are written to again, and have all the time that anyone has
    path = f"/cases/{case_id}/people/{person['id']}"
    etag = system.caseworker.get(path).headers["ETag"]
    there = {"address": ["2 Heron Way", "Marlow Vale", "SW1A 2AA"]}
    assert system.caseworker.call("PATCH", path, json=there, headers={"If-Match": etag}).status_code == 200
    eventually(lambda: len(_letters(clock, case_id, "review")) == 2)
    eventually(lambda: clock.the_review(case_id)["handed_at"])
    assert clock.tasks(case_id) == []
    clock.ahead(days=15)
    eventually(lambda: clock.the_review(case_id)["reminder_handed_at"])
    clock.ahead(days=12)
    clock.stays_open(case_id)
    clock.ahead(days=3)
    eventually(lambda: clock.is_frozen(case_id))


def _letters(clock: Clock, case_id: str, template: str) -> list[str]:
    items = clock.system.caseworker.read("/notifications", case_id=case_id)["items"]
    return [one["id"] for one in items if one["template"] == template]


def test_p22_of_two_people_each_is_asked_and_neither_answers_for_the_other(clock: Clock) -> None:
    system, case_id = clock.system, clock.system.an_open_case()
    ann, bo = system.a_person(case_id)["id"], system.a_person(case_id, given_name="Bo", email=None)["id"]
    theirs = {"name": "Bo Okonkwo", "person_id": bo, "capacity": "parental_responsibility"}
    system.a_consent(case_id, given_by=theirs)
    eventually(lambda: len(clock.reviews(case_id)) == 2)
    clock.a_year_passes()
    clock.written_to(case_id, letters=2)
    hers, his = clock.reviews(case_id)
    assert (hers["person_id"], his["person_id"]) == (None, bo)
    said = system.caseworker.post(f"/reviews/{hers['id']}/answer", {"decision": "renew", **BY_PHONE})
    assert said.status_code == 200, said.text
    clock.ahead(days=14)
    clock.written_to(case_id, template="review_reminder")
    clock.ahead(days=15)
    # Then the other's silence ends what he agreed to, and the file goes on
    eventually(lambda: clock.reviews(case_id)[1]["state"] == "silent")
    clock.stays_open(case_id)
    ended = {c["given_by"].get("person_id"): c for c in system.caseworker.read("/consents", case_id=case_id)["items"]}[
        bo
    ]
    assert ended["standing"] == []
    assert ended["history"][-1]["event"] == "silent"
    decided = system.caseworker.read("/decisions", case_id=case_id, purpose="casework", person_id=ann)
    assert decided["allowed"] is True


def test_p22_who_asks_to_be_forgotten_is(clock: Clock) -> None:
    system, case_id = clock.system, a_family(clock)
    review = clock.the_review(case_id, state="scheduled")
    path = f"/reviews/{review['id']}/answer"
    assert system.auditor.post(path, {"decision": "forget", **BY_PHONE}).status_code == 403
    assert system.caseworker.post(path, {"decision": "perhaps", **BY_PHONE}).status_code == 400
    said = system.caseworker.post(path, {"decision": "forget", **BY_PHONE}).json()
    eventually(lambda: clock.is_frozen(case_id))
    assert system.waits_on(said["request_id"]) == ["confirmation"]
    # The family takes it back: the file goes on, and they are asked
    taken_back = system.caseworker.post(f"/requests/{said['request_id']}/withdrawal", BY_PHONE)
    assert taken_back.status_code == 200, taken_back.text
    assert clock.the_review(case_id, state="scheduled")["request_id"] is None


def test_who_can_t_be_reached_is_called(clock: Clock) -> None:
    case_id = clock.system.an_open_case()
    clock.system.a_person(case_id, address=None, email=None)
    clock.a_year_passes()
    eventually(lambda: clock.tasks(case_id) == ["call"])
    clock.ahead(days=60)
    assert clock.tasks(case_id) == ["call"]
    clock.stays_open(case_id)
    assert _letters(clock, case_id, "review") == []


def test_a_clock_that_is_wrong_changes_nothing(clock: Clock) -> None:
    case_id = a_family(clock)
    before = clock.reviews(case_id)
    # Set back; ten years ahead; and a dry run, which only counts
    for wrong in (clock.now - timedelta(days=2), clock.now + timedelta(days=3653)):
        stopped = clock.run("--now", wrong.isoformat())
        assert stopped.exit_code == 1
        assert "--confirm" in stopped.output
        assert "It would be about" in stopped.output
    ahead = clock.run("--now", (clock.now + timedelta(days=366)).isoformat(), "--dry-run")
    assert ahead.exit_code == 0, ahead.output
    assert clock.run("--now", "tomorrow").exit_code == 2
    assert clock.reviews(case_id) == before
