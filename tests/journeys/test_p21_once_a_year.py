"""P21: the clock catches up what was missed, sends nothing twice whatever dies, and can't be moved where it may not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from deploy.local.stack import Stack
from tests.helpers import eventually, kill, start
from tests.journeys.clock_rig import Clock, a_clock
from tests.system import System

pytestmark = pytest.mark.xdist_group("clock-p21")


@pytest.fixture(scope="module")
def clock(stack: Stack, worker_id: str) -> Iterator[Clock]:
    with a_clock(stack, f"clx{worker_id}", FMN_CLOCK_MAX="2") as opened:
        yield opened


def test_without_time_travel_the_clock_is_run_now_or_not_at_all(system: System) -> None:
    clock = Clock(system=system)
    refused = clock.run("--now", clock.now.isoformat(), "--confirm", "manager-1")
    assert refused.exit_code == 1
    assert "FMN_TIME_TRAVEL" in refused.output
    done = clock.run()
    assert done.exit_code == 0, done.output
    assert "0 reviews that nobody answered" in done.output
    # Nobody but an operator's own program runs it
    assert system.manager.post("/clock", {"dry_run": True}).status_code == 403


def test_p21_whatever_dies_on_the_way_one_letter_goes(clock: Clock) -> None:
    system, case_id = clock.system, clock.system.an_open_case()
    system.a_person(case_id, email=None)
    workers = [system.process(f"{system.provided.prefix}-consent-worker")]
    # Given that whoever works it off dies, again and again, from when the clock has found what is due
    clock.a_year_passes()
    for _ in range(3):
        kill(workers)
        start(workers)
        clock.ahead(seconds=1)
    clock.written_to(case_id)
    clock.ahead(days=14)
    kill(workers)
    start(workers)
    clock.written_to(case_id, template="review_reminder")
    # And none of the letters that left the office is there twice
    post = list(system.provided.post.glob("*.pdf"))
    assert len(post) == len(system.caseworker.read("/notifications", case_id=case_id)["items"])
    # When they die at its end, one erasure is asked for
    clock.ahead(days=15)
    kill(workers)
    start(workers)
    eventually(lambda: clock.is_frozen(case_id))
    assert len(system.caseworker.read("/requests", case_id=case_id)["items"]) == 1


def test_a_run_that_would_end_too_many_files_asks_for_a_name(clock: Clock) -> None:
    system = clock.system
    cases = [system.an_open_case() for _ in range(3)]
    for case_id in cases:
        system.a_person(case_id, email=None)
    # Given three families who were all written to and reminded
    clock.a_year_passes()
    for case_id in cases:
        clock.written_to(case_id)
    clock.ahead(days=14)
    for case_id in cases:
        clock.written_to(case_id, template="review_reminder")
    # When the clock's next run would end more than it may
    clock.ahead(days=9)
    stopped = clock.run("--now", (clock.now + timedelta(days=6)).isoformat())
    # Then it stops, says what it would be about, and nothing has changed
    assert stopped.exit_code == 1
    assert "FMN_CLOCK_MAX" in stopped.output
    assert "3 reviews that nobody answered" in stopped.output
    assert {clock.the_review(case_id)["state"] for case_id in cases} == {"asked"}
    # Until somebody gives their name for it
    clock.ahead(days=6)
    for case_id in cases:
        eventually(lambda case_id=case_id: clock.is_frozen(case_id))  # type: ignore[misc]


def test_p21_a_review_that_no_font_can_print_has_reached_no_one_until_it_goes(clock: Clock) -> None:
    system, case_id = clock.system, clock.system.an_open_case()
    person = system.a_person(case_id, given_name="Selam", email=None)["id"]
    path = f"/cases/{case_id}/people/{person}"

    def called(name: str) -> None:
        headers = {"If-Match": system.caseworker.get(path).headers["ETag"]}
        answer = system.caseworker.call("PATCH", path, json={"given_name": name}, headers=headers)
        assert answer.status_code == 200, answer.text

    def has(template: str, status: str) -> bool:
        items = system.caseworker.read("/notifications", case_id=case_id)["items"]
        return [one["status"] for one in items if one["template"] == template] == [status]

    # Given a name that was corrected to Amharic letters since the case was opened
    eventually(lambda: has("opening", "delivered"))
    called("ሰላም")
    # When a year has passed, the letter is held, the office is to call, and silence doesn't count
    clock.a_year_passes()
    eventually(lambda: has("review", "needs_attention"))
    eventually(lambda: sorted(clock.tasks(case_id)) == ["call", "letter_not_printable"])
    clock.ahead(days=40)
    clock.stays_open(case_id)
    # Until it has gone
    called("Selam")
    clock.written_to(case_id)
    eventually(lambda: clock.tasks(case_id) == [])
