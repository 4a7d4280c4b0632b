"""The consent service's own process: what each store gives to a family, and that only an erasure takes its steps."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from deploy.local.stack import Stack
from services.consent.actions.erasure_receipts import complete_step
from services.consent.actions.saga import ask_again, begin_step
from services.consent.context import Context
from services.consent.model.consents import Ending, Grant
from services.consent.model.intakes import PendingIntake
from services.consent.model.requests import KINDS, Hold, Phase, Receipt, Request, Status
from services.consent.model.rights import Young
from services.consent.model.tasks import Kind, State, Task
from shared.clock import utc_now
from shared.db import Disposal
from shared.db.unit_of_work import Tx
from shared.events import SERVICES
from shared.ids import new_id
from shared.messaging.steps import StepRow
from tests.helpers import stores_listed
from tests.races.saga_model_system import Coordinator, a_coordinator

# One coordinator for all of them.
pytestmark = pytest.mark.xdist_group("consent-stores")
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
DAY = date(2026, 11, 24)


@pytest.fixture(scope="module")
def coordinator(stack: Stack, worker_id: str) -> Iterator[Coordinator]:
    with a_coordinator(stack, f"kept{worker_id}") as opened:
        yield opened


@pytest.fixture
def context(coordinator: Coordinator) -> Context:
    return coordinator.opened.context


def a_request(case_id: str, **changed: Any) -> Request:
    start: dict[str, Any] = {
        "id": new_id(),
        "kind": "erasure",
        "case_id": case_id,
        "status": Status.RECEIVED,
        "phase": Phase.ASKED,
        "received_at": NOW,
        "logged_at": NOW,
        "logged_by": "worker-1",
        "channel": "phone",
        "due_on": DAY,
        "due_at": NOW,
        "about": (),
        "identity_settled": True,
        "confirmed_by": None,
        "confirmed_at": None,
        "letter": None,
        "attempts": {},
        "elsewhere": (),
        "elsewhere_certified": (),
        "verified_at": None,
        "completed_at": None,
        "certificate": None,
        "personal": {"made_by": {"name": "Zoë", "authority": "self"}},
    }
    return Request(**{**start, **changed})


def a_receipt(request: Request, service: str) -> Receipt:
    return Receipt(
        id=new_id(),
        request=request.id,
        case_id=request.case_id,
        service=service,
        attempt=1,
        outcome="erased",
        stores=stores_listed(service),
        late=[],
        signed_at=NOW,
        jws="a.b.c",
        last_letter="sent" if service == "notifier" else None,
        at=NOW,
    )


def exported(context: Context, coordinator: Coordinator, store: str, case_id: str) -> list[dict[str, Any]]:
    return [dict(one.fields) for one in coordinator.opened.runtime.register.stores[store].export(case_id)]


def test_p23_each_store_gives_what_a_family_may_have(coordinator: Coordinator, context: Context) -> None:
    # Given a family of which every store has something
    case_id, stores, zoe = coordinator.a_family(), context.stores, new_id()
    ann = stores.people.of_case(case_id)[0].people[0].person
    (given,) = stores.consents.of_case(case_id)
    grants = (Grant(purpose="casework", until=DAY),)

    def act(tx: Tx) -> None:
        ending = {"id": new_id(), "case_id": case_id, "consent_id": given.id, "recorded_at": NOW}
        stores.endings.add(Ending(**ending, grants=grants, channel="phone", by="Żaneta"), tx=tx)
        stores.intakes.add(PendingIntake(case_id=case_id, personal={"people": [{"given_name": "Zoë"}]}), tx=tx)
        stores.rights.add(Young(id=zoe, case_id=case_id, pass_on=DAY), tx=tx)
        task = {"id": new_id(), "case_id": case_id, "kind": Kind.CALL, "subject_id": ann, "due_on": DAY}
        stores.tasks.add(Task(**task, state=State.OPEN, opened_at=NOW), tx=tx)
        request = a_request(case_id, attempts={"case": 1})
        stores.requests.add(request, tx=tx)
        stores.receipts.add(a_receipt(request, "case"), tx=tx)
        hold = {"id": new_id(), "case_id": case_id, "ground": "safeguarding", "until": DAY, "placed_at": NOW}
        stores.holds.add(Hold(**hold, reason="a concern", placed_by="lead-1"), tx=tx)

    stores.unit_of_work.run(act)
    # When they are given it
    given_out = {
        name: exported(context, coordinator, name, case_id) for name in coordinator.opened.runtime.register.stores
    }
    # Then consents, how they ended and what was asked are told in words, and days as days
    (consent,) = given_out["consents"]
    assert (consent["name"], consent["capacity"]) == ("Żaneta Okonkwo-Łukasik", "parental_responsibility")
    assert (consent["statement_version"], consent["given_at"]) == (1, given.given_at.isoformat())
    assert consent["grants"] == [{"purpose": "casework", "party": None, "document_kind": None, "until": None}]
    (ending,) = given_out["endings"]
    assert (ending["by"], ending["kind"], ending["grants"][0]["until"]) == ("Żaneta", "withdrawn", str(DAY))
    assert given_out["intakes"] == [{"personal": {"people": [{"given_name": "Zoë"}]}}]
    assert given_out["rights"] == [{"pass_on": str(DAY), "passed_at": None, "next_on": None}]
    assert given_out["people"] == [{"people": [{"person": ann, "role": "parent"}]}]
    (task,) = given_out["tasks"]
    assert (task["kind"], task["due_on"], task["state"]) == ("call", str(DAY), "open")
    (review,) = given_out["reviews"]
    assert (review["consent_id"], review["state"], "ways" in review) == (given.id, "scheduled", False)
    (request,) = given_out["requests"]
    assert (request["kind"], request["personal"]["made_by"]["name"]) == ("erasure", "Zoë")
    assert "attempts" not in request
    # And nothing of the service's own lists, of holds, or of what outlives the case
    given_something = {name for name, items in given_out.items() if items}
    assert given_something == {
        "consents", "endings", "intakes", "people", "requests", "reviews", "rights", "tasks"
    }  # fmt: skip
    # What is stripped is still told of, less what was personal
    stores.requests.delete(case_id)
    assert exported(context, coordinator, "requests", case_id)[0]["personal"] is None
    assert stores.requests.remaining(case_id) == 0


def test_what_outlives_a_case_says_why(coordinator: Coordinator, context: Context) -> None:
    stores = context.stores
    kept = (
        stores.organisations,
        stores.receipts,
        stores.readings,
        stores.clock_runs,
        stores.helpline_calls,
        stores.ledger,
    )
    assert all(store.disposal is Disposal.KEEP and store.why for store in kept)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "erasure"])
def test_only_an_erasure_takes_the_steps_of_one(coordinator: Coordinator, context: Context, kind: str) -> None:
    # Given requests of another kind at every phase, each with all that an erasure waits for, and a hold
    case_id, stores = coordinator.a_family(), context.stores
    ready: dict[str, Any] = {"confirmed_by": "worker-2", "confirmed_at": NOW, "letter": "sealed"}
    attempts = dict.fromkeys(SERVICES, 1)
    others = [a_request(case_id, kind=kind, phase=phase, attempts=attempts, **ready) for phase in Phase]
    day = (utc_now() + timedelta(days=9)).date()

    def act(tx: Tx) -> None:
        for request in others:
            stores.requests.add(request, tx=tx)
            for service in SERVICES:
                stores.receipts.add(a_receipt(request, service), tx=tx)

    stores.unit_of_work.run(act)
    body = {"case_id": case_id, "ground": "legal_claim", "until": str(day), "reason": "a claim"}
    held = coordinator.call("Manu", "POST", "/holds", body)
    assert held.status_code == 201
    erasure = {
        "kind": "erasure", "case_id": case_id, "received_at": utc_now().isoformat(), "channel": "phone",
        "made_by": {"name": "Żaneta", "authority": "self"},
    }  # fmt: skip
    logged = coordinator.call("Ola", "POST", "/requests", erasure).get_json()
    checked = {"checked": ["family", "authority", "safeguarding"]}
    assert coordinator.call("Priya", "POST", f"/requests/{logged['id']}/confirmation", checked).status_code == 200
    coordinator.said()
    # When the hold is lifted, and everything that moves an erasure is done to the others
    lifted = coordinator.call("Manu", "DELETE", f"/holds/{held.get_json()['id']}", If_Match="*")
    assert lifted.status_code == 204
    for request in others:
        assert ask_again(stores, request.id) is None
        step = {"kind": "complete", "key": request.id, "case_id": case_id, "due": NOW, "attempts": 1, "now": NOW}
        complete_step(context, StepRow(**step))
        begin_step(context, StepRow(**step | {"kind": "begin"}))
        path, body = f"/requests/{request.id}", {"outcome": "unknown", "reason": "it can't go"}
        assert coordinator.call("Priya", "POST", f"{path}/confirmation", checked).status_code == 409
        assert coordinator.call("Manu", "POST", f"{path}/last-letter", body).status_code == 409
        assert coordinator.call("Ola", "GET", path).get_json()["waiting_on"] == []
    # Then the erasure alone has gone on
    assert [(event.type.name, event.data["request"]) for event in coordinator.said()] == [
        ("erasure.preparing", logged["id"])
    ]
    assert [stores.requests.get(request.id) for request in others] == others
    assert coordinator.gate(case_id) == "frozen"
    # And taking one of the others back releases nothing
    back = {"channel": "phone", "by": "Żaneta"}
    assert coordinator.call("Ola", "POST", f"/requests/{others[0].id}/withdrawal", back).status_code == 200
    assert coordinator.gate(case_id) == "frozen"
    coordinator.put_away(case_id)


def test_a_last_letter_is_settled_once(coordinator: Coordinator, context: Context) -> None:
    # Given an erasure whose last letter is sealed, and still could go
    request = a_request(coordinator.a_family(), phase=Phase.PREPARING, status=Status.IN_PROGRESS, letter="sealed")
    context.stores.unit_of_work.run(lambda tx: context.stores.requests.add(request, tx=tx))
    path, body = f"/requests/{request.id}/last-letter", {"outcome": "undeliverable", "reason": "the mailbox is full"}
    assert coordinator.call("Manu", "POST", path, body).status_code == 200
    coordinator.said()
    # When it is settled again, as it was and otherwise
    again = coordinator.call("Manu", "POST", path, body)
    other = coordinator.call("Manu", "POST", path, body | {"outcome": "nobody"})
    # Then the first outcome stands, and the answer to another names it
    assert again.status_code == 200
    assert (other.status_code, other.get_json()["type"]) == (409, "urn:fmn:problem:conflict")
    assert "`undeliverable`" in other.get_json()["detail"]
    assert coordinator.said() == []
    kept = context.stores.requests.get(request.id)
    assert kept is not None
    assert kept.letter == "undeliverable"


def test_a_hold_that_is_lifted_is_in_no_kept_answer(coordinator: Coordinator) -> None:
    case_id, day = coordinator.a_family(), (utc_now() + timedelta(days=9)).date()
    body = {"case_id": case_id, "ground": "legal_claim", "until": str(day), "reason": "Żaneta's claim"}
    held = coordinator.call("Manu", "POST", "/holds", body, Idempotency_Key="held")
    lifted = coordinator.call("Manu", "DELETE", f"/holds/{held.get_json()['id']}", If_Match=held.headers["ETag"])
    assert (held.status_code, lifted.status_code) == (201, 204)
    again = coordinator.call("Manu", "POST", "/holds", body, Idempotency_Key="held")
    assert (again.status_code, again.get_json()["type"]) == (409, "urn:fmn:problem:conflict")
    assert [row for row in coordinator.db["idempotency"].find({"case_id": case_id}) if "personal" in row] == []
    assert coordinator.call("Manu", "POST", "/holds", body, Idempotency_Key="held again").status_code == 201
