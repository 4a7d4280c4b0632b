"""P20, P21: a file may stay open, rest or be closed; once a year the family is written to all the same.

Told through the API and `forgetmenot clock run --now`, on a stack of its own; so is everything in it of who is
reached, who isn't, and what an outage holds up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from deploy.local.stack import Stack
from tests.helpers import eventually
from tests.journeys.clock_rig import Clock, a_clock
from tests.journeys.test_p9_what_came_of_it import put_state

pytestmark = pytest.mark.xdist_group("clock-p20")

BY_PHONE = {"channel": "phone", "by": "Żaneta Okonkwo-Łukasik"}


@pytest.fixture(scope="module")
def clock(stack: Stack, worker_id: str) -> Iterator[Clock]:
    with a_clock(stack, f"cly{worker_id}") as opened:
        yield opened


def a_family(clock: Clock) -> str:
    case_id = clock.system.an_open_case()
    clock.system.a_person(case_id, email=None)
    return case_id


def letters(clock: Clock, case_id: str) -> list[dict[str, Any]]:
    """What has gone, or is to go, to this family about its review."""
    items = clock.system.caseworker.read("/notifications", case_id=case_id)["items"]
    return [one for one in items if one["template"] != "opening"]


def an_entry(clock: Clock, case_id: str, kind: str = "note") -> None:
    clock.system.caseworker.made(f"/cases/{case_id}/entries", {"kind": kind, "text": "Not known."})


def test_p20_a_file_that_rests_and_one_that_is_closed_are_still_asked_about(clock: Clock) -> None:
    system, resting, closed = clock.system, a_family(clock), a_family(clock)
    an_entry(clock, closed, "outcome")
    for case_id, state in ((resting, "inactive"), (closed, "closed")):
        assert put_state(system, case_id, state).status_code == 200
    # When a year has passed, each is written to
    clock.a_year_passes()
    for case_id in (resting, closed):
        clock.written_to(case_id)
    # And neither the letter nor a yes to it opens or closes anything
    for case_id, state in ((resting, "inactive"), (closed, "closed")):
        review = clock.the_review(case_id, state="asked")
        said = system.caseworker.post(f"/reviews/{review['id']}/answer", {"decision": "renew", **BY_PHONE})
        assert said.status_code == 200, said.text
        assert system.caseworker.read(f"/cases/{case_id}")["state"] == state
    # And the resting one is dipped into again
    an_entry(clock, resting)
    assert put_state(system, resting, "open").status_code == 200


def test_p21_an_outage_of_a_week_is_caught_up_and_nothing_is_sent_twice(clock: Clock) -> None:
    # Given a family whose review falls due while nothing runs for a week
    case_id = a_family(clock)
    clock.ahead(days=365 + 7)
    clock.written_to(case_id)
    clock.ahead(seconds=1)
    # When the reminder's day goes by in another such week, it goes late, and once
    clock.ahead(days=21)
    clock.written_to(case_id, template="review_reminder")
    clock.ahead(seconds=1)
    assert [one["template"] for one in letters(clock, case_id)] == ["review", "review_reminder"]
    # Then they have as long after it as anyone, though the letter's 28 days are over
    clock.ahead(days=13)
    clock.stays_open(case_id)
    clock.ahead(days=2)
    eventually(lambda: clock.is_frozen(case_id))
    assert len(clock.system.caseworker.read("/requests", case_id=case_id)["items"]) == 1
    assert len(letters(clock, case_id)) == 2


def test_p22_post_that_came_back_gives_28_more_days_where_no_second_address_is_found(clock: Clock) -> None:
    case_id = a_family(clock)
    clock.a_year_passes()
    (letter,) = clock.written_to(case_id)
    clock.ahead(days=14)
    clock.written_to(case_id, template="review_reminder")
    # When the letter comes back after 20 days
    clock.ahead(days=6)
    assert clock.system.caseworker.post(f"/notifications/{letter['id']}/returned").status_code == 200
    eventually(lambda: clock.tasks(case_id) == ["returned_post"])
    # Then there is something to do, and nothing is counted from the day it was sent
    clock.ahead(days=9)
    clock.stays_open(case_id)
    assert clock.tasks(case_id) == ["returned_post"]
    clock.ahead(days=26)
    clock.stays_open(case_id)
    # Until 28 days more than anyone has are over
    clock.ahead(days=2)
    eventually(lambda: clock.is_frozen(case_id))
    assert len(letters(clock, case_id)) == 2


def test_p22_a_file_that_is_worked_on_is_asked_by_phone_before_it_is_frozen(clock: Clock) -> None:
    answering, silent = a_family(clock), a_family(clock)
    clock.a_year_passes()
    for case_id in (answering, silent):
        clock.written_to(case_id)
    clock.ahead(days=14)
    for case_id in (answering, silent):
        clock.written_to(case_id, template="review_reminder")
        # Given that somebody goes on working with the family
        an_entry(clock, case_id)
    clock.ahead(days=15)
    # Then somebody asks them by phone, and nothing is frozen
    for case_id in (answering, silent):
        eventually(lambda case_id=case_id: clock.tasks(case_id) == ["ask_by_phone"])  # type: ignore[misc]
        clock.stays_open(case_id)
    # When they say yes, there is nothing left to do
    review = clock.the_review(answering)
    said = clock.system.caseworker.post(f"/reviews/{review['id']}/answer", {"decision": "renew", **BY_PHONE})
    assert said.status_code == 200, said.text
    assert clock.tasks(answering) == []
    # When nobody has an answer, 28 more quiet days end the other file
    clock.ahead(days=27)
    clock.stays_open(silent)
    clock.ahead(days=2)
    eventually(lambda: clock.is_frozen(silent))
    clock.stays_open(answering)


def test_p22_while_all_contact_is_stopped_silence_is_paused(clock: Clock) -> None:
    system, case_id = clock.system, a_family(clock)
    clock.a_year_passes()
    clock.written_to(case_id)
    clock.ahead(days=14)
    clock.written_to(case_id, template="review_reminder")
    # Given a death in the family, and everything stopped
    stopped = system.caseworker.call("PUT", f"/cases/{case_id}/stop-all", json={"reason": "death"})
    assert stopped.status_code == 200, stopped.text
    # When their time goes by, and as much again, nothing is ended and nothing is sent
    clock.ahead(days=60)
    clock.ahead(days=2)
    clock.stays_open(case_id)
    assert len(letters(clock, case_id)) == 2
    # When contact may go on they are asked anew, and have all the time that anyone has
    assert system.manager.call("DELETE", f"/cases/{case_id}/stop-all").status_code == 204
    eventually(lambda: clock.the_review(case_id)["state"] == "scheduled")
    clock.ahead(days=1)
    clock.written_to(case_id, letters=2)
    clock.ahead(days=14)
    clock.written_to(case_id, letters=2, template="review_reminder")
    clock.stays_open(case_id)
    clock.ahead(days=15)
    eventually(lambda: clock.is_frozen(case_id))
