"""P1, P7, P25: the day on which a young person decides for themselves, and the month in which they turn 25.

Told through the API and `forgetmenot clock run --now`, on a stack of its own.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from deploy.local.stack import Stack
from tests.helpers import eventually, problem
from tests.journeys.clock_rig import Clock, a_clock
from tests.journeys.test_p13_contacts import a_school, about
from tests.system import System

pytestmark = pytest.mark.xdist_group("clock-p1")

NOBODY = {"address": None, "email": None, "phone": None}
BY_PHONE = {"channel": "phone", "by": "Ann Okonkwo"}


@pytest.fixture(scope="module")
def clock(stack: Stack, worker_id: str) -> Iterator[Clock]:
    with a_clock(stack, f"clz{worker_id}") as opened:
        yield opened


def after_the_last_friday_in_june(year: int) -> date:
    fridays = [week[calendar.FRIDAY] for week in calendar.monthcalendar(year, 6) if week[calendar.FRIDAY]]
    return date(year, 6, fridays[-1]) + timedelta(days=1)


def decided(system: System, case_id: str, **more: str) -> dict[str, Any]:
    return system.caseworker.read("/decisions", **{"case_id": case_id, "purpose": "casework", **more})


def tasks(system: System, case_id: str) -> list[tuple[str, str, str]]:
    found = system.caseworker.read("/tasks", case_id=case_id, state="open")["items"]
    return [(task["kind"], task["subject_id"], task["due_on"]) for task in found]


def test_p7_a_young_person_s_day_passes(clock: Clock) -> None:
    # Given a file of somebody of 15, which rests on their mother's word, as does what the school may be asked and told
    system, year = clock.system, clock.now.year
    while (day := after_the_last_friday_in_june(year)) < clock.now.date() + timedelta(days=62):
        year += 1
    school = a_school(system)
    party = {"party": school}
    agreed = [{"purpose": "casework"}, {"purpose": "contact", **party}, {"purpose": "share", **party}]
    case_id = system.an_open_case(*agreed)
    ann = system.a_person(case_id, given_name="Ann")["id"]
    born = date(year - 16, 3, 1)
    ali = system.a_person(case_id, role="child", given_name="Ali", date_of_birth=str(born), **NOBODY)["id"]
    eventually(lambda: str(decided(system, case_id).get("until")).startswith(str(day - timedelta(days=1))))
    demo_run = {"recipient": "the head", "what": "a date", "basis": "consent", **party}
    system.caseworker.made(f"/cases/{case_id}/contacts", about(school))
    system.caseworker.made(f"/cases/{case_id}/disclosures", demo_run)
    # Sixty days before it, and not a day earlier, somebody is to ask them
    clock.until(day - timedelta(days=61))
    clock.settled(case_id)
    assert tasks(system, case_id) == []
    clock.until(day - timedelta(days=60))
    eventually(lambda: tasks(system, case_id) == [("rights_pass", ali, str(day))])
    assert decided(system, case_id)["allowed"] is True
    # On the day their mother's word covers the file no longer
    clock.until(day)
    eventually(lambda: decided(system, case_id) == {"allowed": False, "reason": "rights-passed"})
    # Nothing goes out
    assert problem(system.caseworker.post(f"/cases/{case_id}/contacts", about(school))) == (409, "consent-required")
    assert problem(system.caseworker.post(f"/cases/{case_id}/disclosures", demo_run)) == (409, "consent-required")
    letter = {"case_id": case_id, "person_id": ann, "template": "opening", "values": {}}
    assert problem(system.caseworker.post("/notifications", letter)) == (409, "consent-required")
    # Nobody asks, agrees or answers on parental authority
    asks = {
        "kind": "erasure",
        "case_id": case_id,
        "received_at": datetime.now(UTC).isoformat(),
        "channel": "phone",
        "made_by": {"name": "Ann Okonkwo", "authority": "parental_responsibility"},
    }
    assert problem(system.caseworker.post("/requests", asks)) == (409, "conflict")
    review = clock.reviews(case_id)[0]["id"]
    for decision in ("renew", "forget"):
        answer = system.caseworker.post(f"/reviews/{review}/answer", {"decision": decision, **BY_PHONE})
        assert problem(answer) == (409, "conflict")
    assert system.caseworker.read("/requests", case_id=case_id)["items"] == []
    # Those whose work it is go on reading it, and may write down that they are asking
    for path in ("", "/people", "/entries", "/contacts", "/disclosures", "/documents"):
        assert system.caseworker.get(f"/cases/{case_id}{path}").status_code == 200, path
    system.caseworker.made(f"/cases/{case_id}/entries", {"kind": "note", "text": "rang; will ring again on Monday"})
    # Until they agree for themselves: then the file goes on, and as far as they said
    theirs = {"name": "Ali Okonkwo", "capacity": "young_person", "person_id": ali}
    system.a_consent(case_id, {"purpose": "casework"}, {"purpose": "contact", **party}, given_by=theirs)
    assert decided(system, case_id)["allowed"] is True
    assert tasks(system, case_id) == []
    system.caseworker.made(f"/cases/{case_id}/contacts", about(school))
    assert problem(system.caseworker.post(f"/cases/{case_id}/disclosures", demo_run)) == (409, "consent-required")
    assert problem(system.caseworker.post("/requests", asks)) == (409, "conflict")
    asks["made_by"] = {"name": "Ali Okonkwo", "person_id": ali, "authority": "self"}
    assert system.caseworker.post("/requests", asks).status_code == 201


def test_p1_the_25th_birthday_opens_a_review_and_closes_nothing(clock: Clock) -> None:
    # Given somebody of 24 whose file it is, and whose birthday is in a month to come
    system, month = clock.system, (clock.now.date() + timedelta(days=70)).replace(day=1)
    case_id = system.a_shell()
    system.a_consent(case_id, given_by={"name": "Ali Okonkwo", "capacity": "young_person"})
    eventually(lambda: system.caseworker.read(f"/cases/{case_id}")["state"] == "open")
    born = date(month.year - 25, month.month, 15)
    ali = system.a_person(case_id, role="young_person", given_name="Ali", date_of_birth=str(born), email=None)["id"]
    eventually(lambda: system.caseworker.read("/tasks", case_id=case_id)["items"])
    assert tasks(system, case_id) == []
    clock.until(month - timedelta(days=1))
    clock.settled(case_id)
    assert tasks(system, case_id) == []
    # When that month begins
    clock.until(month)
    # Then there is a review to do by its end, and by itself nothing is closed
    last = month.replace(day=calendar.monthrange(month.year, month.month)[1])
    eventually(lambda: tasks(system, case_id) == [("turns_25", ali, str(last))])
    case = system.caseworker.read(f"/cases/{case_id}")
    assert (case["state"], case["frozen"]) == ("open", False)
    assert decided(system, case_id)["allowed"] is True
