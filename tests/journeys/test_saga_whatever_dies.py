"""P24, whatever dies: killed at named moments, killed at random, all away at once; it still ends in a certificate."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared.events import SERVICES
from tests.helpers import eventually, kill, soon, start
from tests.journeys.test_p24_forgotten import certificate_of
from tests.races.inside import Inside, an_inside
from tests.system import System

OTHERS = ("case", "document", "notifier")


@pytest.fixture(scope="module")
def inside(system: System) -> Iterator[Inside]:
    with an_inside(system) as opened:
        yield opened


def _first_records(inside: Inside, case_id: str, request: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Something that the walk deletes first: it has counted, and nothing is deleted."""
    of_case = {"case_id": case_id}
    return [("case", "cases", {"_id": case_id}), ("document", "documents", of_case), ("consent", "consents", of_case)]


def _keys(inside: Inside, case_id: str, request: str) -> list[tuple[str, str, dict[str, Any]]]:
    """The case keys: every record is deleted, and nothing is read back."""
    return [(f"{service}_vault", "keys", {"_id": case_id}) for service in SERVICES]


def _answers(inside: Inside, case_id: str, request: str) -> list[tuple[str, str, dict[str, Any]]]:
    """The gate, whose number the receipt needs: all is read back, and nothing is answered."""
    return [(service, "gates", {"_id": case_id}) for service in OTHERS]


MOMENTS: dict[str, Callable[[Inside, str, str], list[tuple[str, str, dict[str, Any]]]]] = {
    "counted, nothing deleted": _first_records,
    "deleted, not read back": _keys,
    "read back, not answered": _answers,
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_p24_workers_killed_at_once_at_a_named_moment(system: System, inside: Inside, moment: str) -> None:
    case_id = inside.a_family()
    request = system.an_erasure(case_id)["id"]
    system.confirm(request)
    if moment == "read back, not answered":
        # The gate closes before the walk; only what is written of it afterwards is in the way.
        for service in OTHERS:
            soon(lambda service=service: inside.gate(service, case_id) == "closed")
    else:
        soon(lambda: inside.phase(request) == "begun")
    with inside.locked(*MOMENTS[moment](inside, case_id, request)):
        soon(lambda: inside.row("case", "erasures", _id=request))
        # What stands in the way stands there for less than the three seconds that MongoDB lets it.
        threading.Event().wait(0.6)
        killed = inside.workers(*(SERVICES if moment == "deleted, not read back" else ("case", "document")))
        kill(killed)
    start(killed)
    inside.completes(request)
    assert certificate_of(system, request)["kept_promise"] is True
    assert inside.left_of(case_id) == []
    found = {(r["service"], s["store"]): s["found"] for r in inside.receipts(request) for s in r["stores"]}
    assert (found["case", "people"], found["case", "entries"], found["document", "documents"]) == (1, 1, 1), found
    assert found["document", "objects"] == 1, found


def test_p24_workers_killed_again_and_again_while_families_are_forgotten(system: System, inside: Inside) -> None:
    cases = [inside.a_family() for _ in range(2)]
    requests = [system.an_erasure(case_id)["id"] for case_id in cases]
    drawn = random.Random(24)
    try:
        for request in requests:
            system.confirm(request)
            threading.Event().wait(drawn.uniform(0.05, 0.4))
            victims = inside.workers(*drawn.sample(SERVICES, 2))
            kill(victims)
            start(victims)
    finally:
        start(inside.workers())
    for case_id, request in zip(cases, requests, strict=True):
        inside.completes(request)
        assert certificate_of(system, request)["kept_promise"] is True
        assert inside.left_of(case_id) == []


def test_p24_with_every_worker_away_requests_are_taken_and_worked_when_they_come_back(
    system: System, inside: Inside
) -> None:
    case_id, other = inside.a_family(), inside.a_family()
    with inside.stopped():
        request, void = system.an_erasure(case_id)["id"], system.an_erasure(other)["id"]
        system.confirm(request)
        assert system.waits_on(request) == ["letter"]
        system.confirm(void)
        assert system.manager.post(f"/requests/{void}/void", {"reason": "the wrong case"}).status_code == 200
        # The consent service itself froze at once; nobody else has heard yet, and nothing is lost
        assert system.caseworker.read("/decisions", case_id=case_id, purpose="casework")["allowed"] is False
        assert system.caseworker.get(f"/cases/{case_id}").status_code == 200
    inside.completes(request)
    assert inside.left_of(case_id) == []
    for service in SERVICES:
        eventually(lambda service=service: inside.gate(service, other) == "open")
    assert len(system.caseworker.read(f"/cases/{other}")["people"]) == 1


def test_p24_with_the_mail_server_away_a_manager_settles_the_last_letter(system: System, inside: Inside) -> None:
    # Given a family that can be reached by email alone, and a mail server that is away
    case_id = system.an_open_case({"purpose": "casework"}, {"purpose": "email"})
    system.a_person(case_id, address=None, preferred_channel="email")
    mail = set(system.provided.mail.glob("*.eml"))
    with inside.with_settings("notifier-worker", FMN_SMTP_URL="smtp://127.0.0.1:9"):
        request = system.an_erasure(case_id)["id"]
        system.confirm(request)
        eventually(lambda: inside.phase(request) == "verified")
        eventually(lambda: (inside.row("notifier", "last_letters", _id=request) or {}).get("tries", 0) >= 1)
        assert system.waits_on(request) == ["letter"]
        assert len(inside.rows("notifier", "sealed_letters", case_id=case_id)) == 1
        # When a manager settles it
        letter = {"outcome": "undeliverable", "reason": "the relay has been down since Friday"}
        assert system.manager.post(f"/requests/{request}/last-letter", letter).status_code == 200
        # Then it is destroyed unsent, and that is the answer
        inside.completes(request)
    assert certificate_of(system, request)["last_letter"] == "undeliverable"
    assert inside.left_of(case_id) == []
    assert inside.keys_named("notifier", f"letter:{request}") == 0
    new = set(system.provided.mail.glob("*.eml")) - mail
    assert not [letter for letter in new if request in letter.read_text(errors="replace")]
