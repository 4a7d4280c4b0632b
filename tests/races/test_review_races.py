"""P21, P22: what is heard late, twice or in the wrong order has nobody written to twice, and nobody forgotten about."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from shared.events import Event, EventType, case, notification, write
from shared.ids import new_id
from tests.helpers import eventually
from tests.journeys.clock_rig import Clock
from tests.races.inside import Inside, Row, an_inside
from tests.system import System

BY_PHONE = {"channel": "phone", "by": "Żaneta Okonkwo-Łukasik"}


@pytest.fixture(scope="module")
def inside(system: System) -> Iterator[Inside]:
    with an_inside(system) as opened:
        yield opened


def review_of(inside: Inside, case_id: str) -> Row:
    (row,) = inside.rows("consent", "reviews", case_id=case_id)
    return row


def an_asked_family(system: System, inside: Inside) -> str:
    """Who agreed a year ago, and has just been written to: no clock needs moving for it."""
    case_id, long_ago = system.a_shell(), (datetime.now(UTC) - timedelta(days=366)).isoformat()
    system.a_consent(case_id, informed_at=long_ago, given_at=long_ago)
    eventually(lambda: system.caseworker.read(f"/cases/{case_id}")["state"] == "open")
    system.a_person(case_id, email=None)
    eventually(lambda: inside.rows("notifier", "notifications", case_id=case_id, status="delivered"))
    done = Clock(system=system).run()
    assert done.exit_code == 0, done.output
    eventually(lambda: review_of(inside, case_id)["handed_at"])
    return case_id


def said(inside: Inside, service: str, type: EventType, case_id: str, at: datetime, data: Row) -> None:
    """Say it with the time at which it happened, and wait until the consent service has applied it."""
    event = Event(id=new_id(), type=type, source=service, time=at, seq=2_000_000, data={"case": case_id, **data})
    inside.publish(service, event.id, event.routing_key, write(event))
    eventually(lambda: inside.has_settled("consent", event.id))


def heard(inside: Inside, type: EventType, case_id: str) -> None:
    """Say this of the review's letter, as the notifier does."""
    review = review_of(inside, case_id)
    (letter,) = inside.rows("notifier", "notifications", case_id=case_id, review=review["_id"])
    now = datetime.now(UTC)
    about = {"notification": letter["_id"], "review": review["_id"], "letter": "review", "round": review["round"]}
    said(inside, "notifier", type, case_id, now, {**about, "at": now.isoformat()})


def test_p22_a_file_that_goes_on_has_its_review_begun_anew_before_anybody_hears_of_it(
    system: System, inside: Inside
) -> None:
    # Given somebody who was written to, and an erasure that is then taken back
    case_id = an_asked_family(system, inside)
    request = system.an_erasure(case_id)["id"]
    # When nobody works off what the consent service says
    with inside.stopped("consent", "notifier"):
        answer = system.caseworker.post(f"/requests/{request}/withdrawal", BY_PHONE)
        assert answer.status_code == 200, answer.text
        # Then the letter that was asked for before is already not asked for any more: if it waited, it won't go
        review = review_of(inside, case_id)
        assert (review["state"], review["round"], review["handed_at"]) == ("scheduled", 2, None)
    # And they are asked once again, and not twice
    done = Clock(system=system).run()
    assert done.exit_code == 0, done.output
    eventually(lambda: review_of(inside, case_id)["handed_at"])
    rounds = [row["round"] for row in inside.rows("notifier", "notifications", case_id=case_id, template="review")]
    assert sorted(rounds) == [1, 2]


def test_p22_that_contact_goes_on_is_heard_late_and_nobody_is_written_to_twice(system: System, inside: Inside) -> None:
    case_id = an_asked_family(system, inside)
    asked_at = review_of(inside, case_id)["asked_at"].replace(tzinfo=UTC)
    # Who was asked since contact went on, by a clock that was quicker than the message, stays asked
    said(inside, "case", case.STOPPED, case_id, asked_at - timedelta(seconds=5), {"stopped": False})
    assert (review_of(inside, case_id)["state"], review_of(inside, case_id)["round"]) == ("asked", 1)


def test_p22_who_was_asked_before_contact_went_on_is_asked_anew(system: System, inside: Inside) -> None:
    case_id = an_asked_family(system, inside)
    said(inside, "case", case.STOPPED, case_id, datetime.now(UTC), {"stopped": False})
    assert (review_of(inside, case_id)["state"], review_of(inside, case_id)["round"]) == ("scheduled", 2)


@pytest.mark.parametrize("first", ["failed", "handed over"])
def test_p22_a_letter_thought_lost_that_was_handed_over_counts_whichever_is_heard_first(
    system: System, inside: Inside, first: str
) -> None:
    case_id = an_asked_family(system, inside)
    # Given a review of which neither has been heard: a process that stood still handed over what another gave up
    inside.change("consent", "reviews", {"case_id": case_id}, handed_at=None, next_at=None)
    both = [notification.FAILED, notification.HANDED_OVER]
    for type in both if first == "failed" else reversed(both):
        heard(inside, type, case_id)
    # Then it was handed over: silence may count, the clock looks again, and nobody needs calling
    review = review_of(inside, case_id)
    assert (review["unreached"], review["handed_at"] is None, review["next_at"] is None) == (False, False, False)
    assert inside.rows("consent", "tasks", case_id=case_id, state="open") == []
