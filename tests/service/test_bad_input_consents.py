"""Bad input about consents and what rests on them: each has its problem type, and changes nothing in any store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from deploy.local.stack import Stack
from shared.events import SERVICES
from shared.ids import new_id
from tests.helpers import eventually, refused
from tests.journeys.clock_rig import Clock, a_clock
from tests.races.inside import Inside, an_inside
from tests.system import System

# What any request may leave: that it was asked, the key that it claimed for a moment, and times of machinery.
_ALWAYS_WRITTEN = {"audit", "idempotency", "steps", "outbox", "inbox", "deferred", "trying"}
_NO_WAY = dict.fromkeys(("post", "email", "phone", "voicemail", "text"), "no")
_FAR = ("9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00")


@pytest.fixture(scope="module")
def inside(system: System) -> Iterator[Inside]:
    with an_inside(system) as found:
        yield found


def everything(inside: Inside, case_id: str) -> dict[str, list[str]]:
    """Every row about the case in every service's databases, the gates' counts of writes too; one query a database."""
    kept: dict[str, list[str]] = {}
    about = {"$match": {"$or": [{"case_id": case_id}, {"_id": case_id}]}}
    for service in SERVICES:
        for database in (f"{inside.names}_{service}", f"{inside.names}_{service}_vault"):
            found = set(inside.mongo[database].list_collection_names()) - _ALWAYS_WRITTEN
            if not found:
                continue
            rows_of = {name: [about, {"$set": {"of_collection": name}}] for name in sorted(found)}
            first = min(found)
            others = [{"$unionWith": {"coll": n, "pipeline": p}} for n, p in rows_of.items() if n != first]
            rows = inside.mongo[database][first].aggregate([*rows_of[first], *others])
            kept[database] = sorted(map(repr, rows))
    return kept


def at_rest(inside: Inside, case_id: str) -> dict[str, list[str]]:
    """As `everything`, once nothing is on its way about the case any more."""

    def quiet() -> bool:
        waiting = ("outbox", "steps", "deferred")
        rows = any(inside.rows(service, name, case_id=case_id) for service in SERVICES for name in waiting)
        return not rows and not any(inside.queued().values())

    def still() -> dict[str, list[str]]:
        before = everything(inside, case_id)
        return before if quiet() and everything(inside, case_id) == before else {}

    return eventually(still)


@contextmanager
def nothing_changes(inside: Inside, case_id: str) -> Iterator[None]:
    before = at_rest(inside, case_id)
    yield
    assert at_rest(inside, case_id) == before


def said(system: System, case_id: str, **more: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "case_id": case_id,
        "decision": "given",
        "given_by": {"name": "Ottoline Quennell", "capacity": "parental_responsibility"},
        "channel": "phone",
        "informed_at": (now - timedelta(minutes=5)).isoformat(),
        "given_at": (now - timedelta(minutes=1)).isoformat(),
        "statement_version": system.caseworker.read("/statement")["version"],
        "purposes": [{"purpose": "casework"}],
        **more,
    }


def ago(**by: float) -> str:
    return (datetime.now(UTC) - timedelta(**by)).isoformat()


_BAD_CONSENTS: dict[str, Callable[[], dict[str, Any]]] = {
    "before informed": lambda: {"informed_at": ago(minutes=1), "given_at": ago(minutes=2)},
    "in the future": lambda: {"given_at": ago(hours=-1)},
    "informed in the future": lambda: {"informed_at": ago(hours=-1), "given_at": ago(hours=-1)},
    "at the end of time": lambda: {"given_at": _FAR[0]},
    "before the beginning of time": lambda: {"informed_at": _FAR[3], "given_at": _FAR[3]},
    "after the end of time": lambda: {"given_at": _FAR[2]},
    "for an unknown party": lambda: {"purposes": [{"purpose": "casework"}, {"purpose": "share", "party": new_id()}]},
    "for a party that is no id": lambda: {"purposes": [{"purpose": "contact", "party": "Marlow Council"}]},
    "by somebody of no case": lambda: {
        "given_by": {"name": "Ottoline", "capacity": "young_person", "person_id": new_id()}
    },
    "until the day before": lambda: {"until": ago(days=1)[:10]},
    "with words nobody was shown": lambda: {"statement_version": "-1"},
    "to nothing": lambda: {"purposes": []},
    "by somebody whose name can't be seen": lambda: {
        "given_by": {"name": "\u200b\u00ad", "capacity": "parental_responsibility"}
    },
    "to everything": lambda: {"purposes": [{"purpose": "everything"}]},
    "on evidence of no case": lambda: {"evidence": new_id()},
}


@pytest.mark.parametrize("what", _BAD_CONSENTS)
def test_a_consent_that_can_t_be_so(system: System, inside: Inside, what: str) -> None:
    case_id = system.an_open_case()
    with nothing_changes(inside, case_id):
        refused(system.caseworker.post("/consents", said(system, case_id, **_BAD_CONSENTS[what]())), 400, "invalid")


def test_a_consent_for_the_last_day_there_is_stands_until_then(system: System) -> None:
    case_id = system.an_open_case()
    made = system.caseworker.made("/consents", said(system, case_id, until="9999-12-31"))
    assert made["until"] == "9999-12-31"
    assert system.caseworker.read("/decisions", case_id=case_id, purpose="casework")["allowed"] is True


def test_a_consent_given_twice(system: System, inside: Inside) -> None:
    case_id = system.an_open_case()
    body = said(system, case_id)
    system.caseworker.made("/consents", body)
    with nothing_changes(inside, case_id):
        for _ in range(2):
            refused(system.caseworker.post("/consents", body, Idempotency_Key=new_id()), 409, "conflict")


def test_a_consent_and_a_withdrawal_on_an_erased_case(system: System, inside: Inside) -> None:
    case_id = system.an_open_case()
    (given,) = system.caseworker.read("/consents", case_id=case_id)["items"]
    request = system.an_erasure(case_id)["id"]
    refused(system.caseworker.post("/consents", said(system, case_id)), 423, "frozen")
    system.confirm(request)
    inside.completes(request)
    before = at_rest(inside, case_id)
    refused(system.caseworker.post("/consents", said(system, case_id)), 410, "erased")
    withdrawal = {"channel": "phone", "by": "Ottoline"}
    refused(system.caseworker.post(f"/consents/{given['id']}/withdrawal", withdrawal), 404, "not-found")
    # Nor is anything of it there to be found by another name
    assert inside.left_of(case_id) == []
    assert at_rest(inside, case_id) == before


def test_a_consent_for_a_case_that_never_was(system: System) -> None:
    refused(system.caseworker.post("/consents", said(system, new_id())), 404, "not-found")


@pytest.mark.parametrize(
    "purposes",
    [
        [{"purpose": "email"}],
        [{"purpose": "casework"}, {"purpose": "email"}],
        [{"purpose": "casework", "party": "019b0000-0000-7000-8000-000000000000"}],
        [],
    ],
    ids=["never given", "one never given beside one that was", "given to nobody", "none"],
)
def test_a_withdrawal_of_a_purpose_never_given(system: System, inside: Inside, purposes: list[dict[str, Any]]) -> None:
    case_id = system.an_open_case()
    (given,) = system.caseworker.read("/consents", case_id=case_id)["items"]
    path, body = f"/consents/{given['id']}/withdrawal", {"channel": "phone", "by": "Ottoline", "purposes": purposes}
    with nothing_changes(inside, case_id):
        refused(system.caseworker.post(path, body), 400, "invalid")
    assert system.caseworker.read("/requests", case_id=case_id)["items"] == []


@pytest.mark.parametrize(("first", "second"), [("renew", "forget"), ("forget", "renew")])
def test_a_review_answered_twice_differently(system: System, inside: Inside, first: str, second: str) -> None:
    case_id = system.an_open_case()
    system.a_person(case_id)
    review = eventually(lambda: system.caseworker.read("/reviews", case_id=case_id)["items"])[0]
    path, by_phone = f"/reviews/{review['id']}/answer", {"channel": "phone", "by": "Ottoline"}
    answer = system.caseworker.post(path, {"decision": first, **by_phone})
    assert answer.status_code == 200, answer.text
    with nothing_changes(inside, case_id):
        refused(system.caseworker.post(path, {"decision": second, **by_phone}), 409, "conflict")
        refused(system.caseworker.post(path, {"decision": "perhaps", **by_phone}), 400, "invalid")
    again = system.caseworker.post(path, {"decision": first, **by_phone})
    assert (again.status_code, again.json()["decision"]) == (200, first)


@pytest.mark.parametrize("who", ["nobody", "a person of the case", "the case itself", "no id"])
def test_a_contact_with_an_organisation_that_isn_t_one(system: System, inside: Inside, who: str) -> None:
    case_id = system.an_open_case()
    person = system.a_person(case_id)["id"]
    named = {"nobody": new_id(), "a person of the case": person, "the case itself": case_id, "no id": "the school"}
    body = {"organisation_id": named[who], "purpose": "to ask about the plan", "summary": "They will send it."}
    with nothing_changes(inside, case_id):
        refused(system.caseworker.post(f"/cases/{case_id}/contacts", body), 400, "invalid")


def test_a_safe_contact_record_that_leaves_no_way_to_the_only_person(system: System, inside: Inside) -> None:
    case_id = system.an_open_case()
    person = system.a_person(case_id)["id"]
    path = f"/cases/{case_id}/people/{person}"

    def put(**said: str) -> requests.Response:
        etag = system.caseworker.get(path).headers["ETag"]
        return system.caseworker.call("PUT", f"{path}/safe-contact", json=said, headers={"If-Match": etag})

    with nothing_changes(inside, case_id):
        refused(put(**_NO_WAY), 400, "invalid")
        refused(put(**{**_NO_WAY, "post": "perhaps"}), 400, "invalid")
        refused(put(post="yes", asked_at=ago(hours=-1)), 400, "invalid")
    # Where there is somebody else in the file it is what they wish
    system.a_person(case_id, role="carer")
    assert put(**_NO_WAY).status_code == 200


# The clock

_ON_ITS_OWN_CLOCK = pytest.mark.xdist_group("clock-bad")


@pytest.fixture(scope="module")
def travelling(stack: Stack, worker_id: str) -> Iterator[Clock]:
    with a_clock(stack, f"bad{worker_id}") as opened:
        opened.ahead(minutes=0)
        yield opened


def _clock(inside: Inside) -> tuple[Any, ...]:
    """The clock's runs but for the worker's own, and everything that a run could have begun."""
    last = inside.row("consent", "clock_runs", _id="last")
    reviews = inside.rows("consent", "reviews")
    return last and last["at"], reviews, inside.rows("consent", "requests"), inside.rows("notifier", "notifications")


@_ON_ITS_OWN_CLOCK
@pytest.mark.parametrize("by", [{"minutes": -90}, {"days": -1}, {"days": 11}, {"days": 3653}, {"days": 36_530}])
def test_a_clock_set_back_or_far_ahead_stops_and_asks_for_a_name(travelling: Clock, by: dict[str, float]) -> None:
    with an_inside(travelling.system) as inside:
        if not inside.rows("consent", "reviews"):
            travelling.ahead(hours=2)
            travelling.system.a_person(travelling.system.an_open_case())
            eventually(lambda: inside.rows("notifier", "notifications", status="delivered"))
        before = _clock(inside)
        stopped = travelling.run("--now", (travelling.now + timedelta(**by)).isoformat())
        assert (stopped.exit_code, "--confirm" in stopped.output) == (1, True), stopped.output
        assert _clock(inside) == before


@_ON_ITS_OWN_CLOCK
@pytest.mark.parametrize("far", _FAR)
def test_a_clock_at_the_edge_of_the_calendar_is_refused_in_a_sentence(travelling: Clock, far: str) -> None:
    with an_inside(travelling.system) as inside:
        before = _clock(inside)
        done = travelling.run("--now", far)
        assert done.exit_code in (1, 2), done.output
        assert "Traceback" not in done.output
        assert done.exception is None or isinstance(done.exception, SystemExit)
        assert _clock(inside) == before


def test_another_time_than_now_without_time_travel(system: System, inside: Inside) -> None:
    clock = Clock(system=system)
    before = inside.rows("consent", "clock_runs", confirmed_by={"$ne": None})
    for moment in (clock.now, clock.now - timedelta(days=1), clock.now + timedelta(days=3653)):
        refused_run = clock.run("--now", moment.isoformat(), "--confirm", "manager-1")
        assert refused_run.exit_code == 1
        assert "FMN_TIME_TRAVEL" in refused_run.output
    assert inside.rows("consent", "clock_runs", confirmed_by={"$ne": None}) == before
