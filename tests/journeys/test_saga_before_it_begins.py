"""P24, before it has begun: withdrawn, refused, void, in doubt, held, joined, logged late; nothing of it is lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
import requests

from shared.clock import LONDON, utc_now
from shared.events import SERVICES
from shared.ids import new_id
from tests.helpers import eventually, problem
from tests.journeys.test_p24_forgotten import certificate_of
from tests.races.inside import CHECKED, Inside, an_inside
from tests.system import System

ENDINGS: dict[str, dict[str, Any]] = {
    "withdrawal": {"channel": "phone", "by": "Żaneta Okonkwo-Łukasik"},
    "refusal": {"ground": "not theirs to ask", "words": "The father has no parental responsibility."},
    "void": {"reason": "logged on the wrong case"},
}
ENDS_AS = {"withdrawal": "withdrawn", "refusal": "refused", "void": "void"}


@pytest.fixture(scope="module")
def inside(system: System) -> Iterator[Inside]:
    with an_inside(system) as opened:
        yield opened


def a_hold(system: System, case_id: str, **more: Any) -> requests.Response:
    body = {"case_id": case_id, "ground": "legal_claim", "until": "2099-12-31", "reason": "a tribunal", **more}
    return system.manager.post("/holds", body)


def lift(system: System, placed: requests.Response) -> None:
    path, etag = f"/holds/{placed.json()['id']}", placed.headers["ETag"]
    assert system.manager.call("DELETE", path, headers={"If-Match": etag}).status_code == 204


def goes_on(system: System, inside: Inside, case_id: str) -> None:
    """The case is as it was: every gate open, everything there, consents standing."""
    for service in SERVICES:
        eventually(lambda service=service: inside.gate(service, case_id) == "open")
    assert system.caseworker.read(f"/cases/{case_id}")["frozen"] is False
    assert len(system.caseworker.read(f"/cases/{case_id}/documents")["items"]) == 1
    assert system.caseworker.read("/decisions", case_id=case_id, purpose="casework")["allowed"] is True
    system.caseworker.made(f"/cases/{case_id}/entries", {"kind": "note", "text": "we go on"})


@pytest.mark.parametrize("ending", ENDINGS)
def test_p24_a_request_that_ends_before_it_is_confirmed_loses_nothing(
    system: System, inside: Inside, ending: str
) -> None:
    case_id = inside.a_family()
    request = system.an_erasure(case_id)["id"]
    assert system.caseworker.read("/decisions", case_id=case_id, purpose="casework")["allowed"] is False
    by_caseworker = system.caseworker.post(f"/requests/{request}/{ending}", ENDINGS[ending])
    if ending == "withdrawal":
        ended = by_caseworker
    else:
        assert problem(by_caseworker) == (403, "forbidden")
        ended = system.manager.post(f"/requests/{request}/{ending}", ENDINGS[ending])
    assert (ended.status_code, ended.json()["status"], ended.json()["waiting_on"]) == (200, ENDS_AS[ending], [])
    goes_on(system, inside, case_id)
    # It is over: nothing can be done with it, and a new one is another
    for again in (*ENDINGS, "confirmation", "identity"):
        body = {**ENDINGS, "confirmation": CHECKED, "identity": {"outcome": "settled", "by": "Ola"}}[again]
        assert problem(system.manager.post(f"/requests/{request}/{again}", body)) == (409, "conflict"), again
    assert system.an_erasure(case_id)["id"] != request


def test_p24_a_request_that_ends_while_the_last_letter_is_awaited_leaves_none(system: System, inside: Inside) -> None:
    """The notifier is away, so what it is asked and what it is told not to do after all arrive together; or in turn."""
    case_id = inside.a_family()
    request = system.an_erasure(case_id)["id"]
    with inside.stopped("notifier"):
        system.confirm(request)
        assert system.waits_on(request) == ["letter"]
        assert system.manager.post(f"/requests/{request}/void", ENDINGS["void"]).status_code == 200
    goes_on(system, inside, case_id)
    eventually(lambda: inside.row("notifier", "last_letters", _id=request, state="cancelled"))
    assert inside.rows("notifier", "sealed_letters", case_id=case_id) == []
    eventually(lambda: inside.keys_named("notifier", f"letter:{request}") == 0)
    # The next one is answered like the first
    again = system.an_erasure(case_id)["id"]
    system.confirm(again)
    inside.completes(again)
    assert inside.left_of(case_id) == []
    # And one about the case that is gone is kept no longer than it is asked
    keys = inside.mongo[f"{inside.names}_consent_vault"]["keys"]
    before = keys.count_documents({})
    late = system.an_erasure(case_id)["id"]
    assert system.caseworker.post("/requests", _about(case_id)).json()["id"] == late
    assert inside.keys_named("consent", f"request:{late}") == 1
    assert inside.left_of(case_id) == ["consent.requests: 1"]
    assert system.manager.post(f"/requests/{late}/void", ENDINGS["void"]).status_code == 200
    assert inside.left_of(case_id) == []
    eventually(lambda: inside.keys_named("consent", f"request:{late}") == 0)
    assert keys.count_documents({}) == before


def test_p24_a_sealed_letter_is_destroyed_when_a_held_request_is_withdrawn(system: System, inside: Inside) -> None:
    case_id = inside.a_family()
    request = system.an_erasure(case_id)["id"]
    with inside.stopped("notifier"):
        system.confirm(request)
        held = a_hold(system, case_id)
        assert held.status_code == 201
        assert system.waits_on(request) == ["hold", "letter"]
    eventually(lambda: system.waits_on(request) == ["hold"])
    assert len(inside.rows("notifier", "sealed_letters", case_id=case_id)) == 1
    ended = system.caseworker.post(f"/requests/{request}/withdrawal", ENDINGS["withdrawal"])
    assert ended.json()["status"] == "withdrawn"
    eventually(lambda: inside.rows("notifier", "sealed_letters", case_id=case_id) == [])
    eventually(lambda: inside.keys_named("notifier", f"letter:{request}") == 0)
    lift(system, held)
    goes_on(system, inside, case_id)


def test_p24_doubt_and_holds_keep_it_from_beginning_and_from_then_on_nothing_does(
    system: System, inside: Inside
) -> None:
    case_id = inside.a_family()
    request = system.an_erasure(case_id, identity="in_doubt")["id"]
    settle, doubt = {"outcome": "settled", "by": "Ola"}, {"outcome": "in_doubt", "by": "Ola"}
    assert system.waits_on(request) == ["confirmation", "identity"]
    # While it is asked
    first = a_hold(system, case_id, ground="safeguarding")
    assert system.waits_on(request) == ["confirmation", "identity", "hold"]
    system.confirm(request)
    assert problem(system.colleague.post(f"/requests/{request}/confirmation", CHECKED)) == (409, "conflict")
    assert system.waits_on(request) == ["identity", "hold"]
    lift(system, first)
    assert system.waits_on(request) == ["identity"]
    assert problem(system.manager.post(f"/requests/{request}/last-letter", {"outcome": "nobody", "reason": "x"})) == (
        409,
        "conflict",
    )
    with inside.stopped("notifier"):
        # While the last letter is awaited
        system.caseworker.post(f"/requests/{request}/identity", settle)
        assert system.waits_on(request) == ["letter"]
        system.caseworker.post(f"/requests/{request}/identity", doubt)
        second = a_hold(system, case_id)
        assert system.waits_on(request) == ["identity", "hold", "letter"]
        letter = {"outcome": "nobody", "reason": "the printer's cartridge is on order"}
        assert problem(system.caseworker.post(f"/requests/{request}/last-letter", letter)) == (403, "forbidden")
        assert system.manager.post(f"/requests/{request}/last-letter", letter).status_code == 200
        assert system.waits_on(request) == ["identity", "hold"]
        lift(system, second)
        assert system.waits_on(request) == ["identity"]
        assert inside.phase(request) == "preparing"
        system.caseworker.post(f"/requests/{request}/identity", settle)
        # It has begun
        eventually(lambda: system.waits_on(request) == ["notifier"])
        for path, body in (*ENDINGS.items(), ("confirmation", CHECKED), ("identity", doubt)):
            assert problem(system.manager.post(f"/requests/{request}/{path}", body)) == (409, "conflict"), path
        assert problem(a_hold(system, case_id)) == (409, "conflict")
        assert system.caseworker.get(f"/cases/{case_id}").status_code == 410
        assert system.auditor.get(f"/requests/{request}/certificate").status_code == 409
    # And what the notifier sealed too late is destroyed
    inside.completes(request)
    assert certificate_of(system, request)["last_letter"] == "nobody"
    assert inside.rows("notifier", "sealed_letters", case_id=case_id) == []
    eventually(lambda: inside.keys_named("notifier", f"letter:{request}") == 0)
    assert inside.left_of(case_id) == []


def test_p24_a_hold_ends_with_its_day_and_the_erasure_goes_on_by_itself(system: System, inside: Inside) -> None:
    case_id = inside.a_family()
    today = datetime.now(LONDON).date()
    past = a_hold(system, case_id, until=(today - timedelta(days=1)).isoformat())
    assert problem(past) == (400, "invalid")
    assert system.caseworker.post("/holds", {"case_id": case_id}).status_code == 403
    assert a_hold(system, case_id, until=today.isoformat()).status_code == 201
    request = system.an_erasure(case_id)["id"]
    system.confirm(request)
    assert system.waits_on(request) == ["hold"]
    # The day passes: nobody calls, and what looks again by itself comes round
    inside.change("consent", "holds", {"case_id": case_id}, until=today - timedelta(days=1))
    assert system.waits_on(request) == []
    inside.change("consent", "steps", {"_id": f"ask_again:{request}"}, due=utc_now())
    inside.completes(request)
    assert inside.left_of(case_id) == []


def test_p24_whoever_asks_again_joins_the_request_that_is_open(system: System, inside: Inside) -> None:
    case_id = inside.a_family()
    request = system.an_erasure(case_id)
    body = {
        "kind": "erasure",
        "case_id": case_id,
        "received_at": (utc_now() - timedelta(days=9)).isoformat(),
        "channel": "letter",
        "late_reason": "the letter lay in the other office",
        "made_by": {"name": "Bartholomäus Okonkwo", "authority": "parental_responsibility"},
    }
    joined = system.manager.post("/requests", body)
    assert (joined.status_code, joined.json()["id"], joined.json()["due_at"]) == (200, request["id"], request["due_at"])
    system.confirm(request["id"])
    inside.completes(request["id"])
    assert len(system.auditor.read("/requests", case_id=case_id)["items"]) == 1


def _ask(system: System, case_id: str, received_at: str, **more: Any) -> requests.Response:
    return system.caseworker.post("/requests", _about(case_id, received_at=received_at, **more))


def _about(case_id: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": "erasure",
        "case_id": case_id,
        "received_at": utc_now().isoformat(),
        "channel": "letter",
        "made_by": {"name": "Żaneta", "authority": "self"},
        **more,
    }


def test_p25_when_it_was_received_is_settled_before_anything_is_frozen(system: System, inside: Inside) -> None:
    case_id = inside.a_family()
    late = {"late_reason": "the letter lay in the other office"}
    start_of_today = datetime.combine(datetime.now(LONDON).date(), time(), LONDON)
    for received, more in (
        (utc_now() + timedelta(minutes=5), {}),
        (start_of_today - timedelta(seconds=1), {}),
        (datetime(1999, 5, 1, tzinfo=UTC), late),
        (utc_now(), {"about": [new_id()]}),
        (utc_now(), {"made_by": {"person_id": new_id(), "authority": "self"}}),
    ):
        assert problem(_ask(system, case_id, received.isoformat(), **more)) == (400, "invalid"), (received, more)
    for text in ("2026-11-22T10:00:00", "2026-11-22", "yesterday"):
        assert problem(_ask(system, case_id, text, **late)) == (400, "invalid"), text
    assert problem(_ask(system, new_id(), utc_now().isoformat())) == (404, "not-found")
    assert inside.gate("consent", case_id) == "open"
    assert _ask(system, case_id, start_of_today.isoformat()).status_code == 201


@pytest.mark.parametrize(
    ("received", "due_on", "due_at"),
    [
        ("2026-04-02T23:59:00+01:00", date(2026, 4, 8), "2026-04-08T22:59:59+00:00"),
        ("2025-12-24T09:00:00+00:00", date(2025, 12, 30), "2025-12-30T23:59:59+00:00"),
        ("2026-07-01T23:30:00+00:00", date(2026, 7, 6), "2026-07-06T22:59:59+00:00"),  # Thursday 2 July in London
        ("2026-10-23T10:00:00+01:00", date(2026, 10, 27), "2026-10-27T23:59:59+00:00"),  # over the end of summer time
        ("2026-03-27T10:00:00+05:30", date(2026, 3, 31), "2026-03-31T22:59:59+00:00"),
    ],
)
def test_p24_it_is_due_on_the_second_working_day(system: System, received: str, due_on: date, due_at: str) -> None:
    case_id = system.a_shell()
    logged = _ask(system, case_id, received, late_reason="a test")
    assert logged.status_code == 201, logged.text
    shown = logged.json()
    assert shown["due_on"] == due_on.isoformat()
    assert datetime.fromisoformat(shown["due_at"]) == datetime.fromisoformat(due_at)
    listed = system.auditor.read("/requests", case_id=case_id, due_before=due_on.isoformat())
    assert [item["id"] for item in listed["items"]] == [shown["id"]]
    day_before = (due_on - timedelta(days=1)).isoformat()
    assert system.auditor.read("/requests", case_id=case_id, due_before=day_before)["items"] == []


def test_p24_what_was_due_before_it_was_logged_is_done_but_the_promise_was_not_kept(
    system: System, inside: Inside
) -> None:
    case_id = inside.a_family()
    request = _ask(system, case_id, "2026-04-02T10:00:00+01:00", late_reason="it lay in the other office").json()["id"]
    system.confirm(request)
    inside.completes(request)
    certificate = certificate_of(system, request)
    assert certificate["kept_promise"] is False
    # The letter may go until the working day after it was verified.
    assert certificate["last_letter"] == "sent"
