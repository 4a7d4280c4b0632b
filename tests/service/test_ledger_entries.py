"""What is entered in the ledger: before anything is destroyed, once for each, and with no more than a restore needs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from deploy.local.stack import Stack
from services.consent.actions.saga import BEGIN_STEP, begin_step
from services.consent.store.ledger import Ledger
from services.consent.store.ledger_copy import LedgerCopy
from shared.clock import utc_now
from shared.db.unit_of_work import UnitOfWork
from shared.errors import Temporary
from shared.events import SERVICES, case, consent, erasure
from shared.ids import new_id
from shared.ledger import Entry, from_row
from shared.messaging.steps import StepRow
from tests.races.saga_model_people import CHECKS, a_request
from tests.races.saga_model_system import Coordinator, Envelope, a_coordinator, an_event

pytestmark = pytest.mark.xdist_group("ledger-entries")


class Killed(BaseException):
    """The process died."""


@pytest.fixture(scope="module")
def coordinator(stack: Stack, worker_id: str) -> Iterator[Coordinator]:
    with a_coordinator(stack, f"entries{worker_id}") as opened:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
        yield opened


def entries_of(coordinator: Coordinator, case_id: str) -> list[Entry]:
    rows = coordinator.opened.context.stores.ledger.rows
    return [from_row(row) for row in rows.find({"case_id": case_id}).sort("_id", 1)]


def decided(coordinator: Coordinator) -> tuple[str, str]:
    """A case and its erasure, which can't be undone any more; no step has run since."""
    case_id = coordinator.a_family()
    request = str(coordinator.call("Ola", "POST", "/requests", a_request(case_id)).get_json()["id"])
    coordinator.call("Priya", "POST", f"/requests/{request}/confirmation", {"checked": CHECKS})
    sealed = an_event("notifier", erasure.LETTER_SEALED, case_id, request=request, outcome="sealed")
    coordinator.bring(Envelope(event=sealed, account="notifier"))
    coordinator.said()
    return case_id, request


def begin(coordinator: Coordinator, case_id: str, request: str) -> None:
    now = utc_now()
    step = StepRow(kind=BEGIN_STEP, key=request, case_id=case_id, due=now, attempts=1, now=now)
    begin_step(coordinator.opened.context, step)


def started(coordinator: Coordinator) -> list[str]:
    return [event.data["request"] for event in coordinator.said() if event.type is consent.STARTED]


@contextmanager
def away(coordinator: Coordinator) -> Iterator[None]:
    """The folder of the copy is away, and comes back."""
    folder = Path(coordinator.system.provided.env["consent"]["FMN_LEDGER_COPY"])
    folder.rename(folder.with_name("elsewhere"))
    try:
        yield
    finally:
        folder.with_name("elsewhere").rename(folder)


def test_no_service_is_told_to_erase_before_the_copy_has_it(coordinator: Coordinator) -> None:
    # Given a decided erasure, and a copy that can't be written
    case_id, request = decided(coordinator)
    with away(coordinator):
        for _ in range(3):
            with pytest.raises(Temporary):
                begin(coordinator, case_id, request)
        # Then it waits, and can't be undone
        shown = coordinator.call("Ola", "GET", f"/requests/{request}").get_json()
        assert (shown["waiting_on"], coordinator.row(request)["phase"]) == (list(SERVICES), "beginning")
        assert coordinator.gate(case_id) == "closed"
        back = {"channel": "phone", "by": "Żaneta"}
        assert coordinator.call("Ola", "POST", f"/requests/{request}/withdrawal", back).status_code == 409
        hold = {"case_id": case_id, "ground": "legal_claim", "until": "2999-01-01", "reason": "a claim"}
        assert coordinator.call("Manu", "POST", "/holds", hold).status_code == 409
        assert entries_of(coordinator, case_id) == []
    assert started(coordinator) == []
    # When the copy is back
    assert coordinator.opened.context.ledger.look_after(utc_now())
    coordinator.works(case_id)
    # Then it is entered once, and they are told
    assert started(coordinator) == [request]
    (entry,) = entries_of(coordinator, case_id)
    assert (entry.kind, entry.about, entry.withdrawn) == ("begun", request, None)
    coordinator.put_away(case_id)


DEATHS = {
    "before the entry": (Ledger, "append", "before"),
    "entered, not copied": (LedgerCopy, "add", "before"),
    "copied, no head": (LedgerCopy, "write_head", "before"),
    "entered, not told": (Ledger, "append", "after"),
    "not committed": (UnitOfWork, "run", "before"),
    "committed, not settled": (UnitOfWork, "run", "after"),
}


@pytest.mark.parametrize("moment", DEATHS)
def test_a_process_that_dies_while_it_begins_begins_it_once(
    coordinator: Coordinator, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id, request = decided(coordinator)
    owner, name, side = DEATHS[moment]
    real = getattr(owner, name)

    def dies(*args: Any, **kwargs: Any) -> Any:
        if side == "after":
            real(*args, **kwargs)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dies)
        with pytest.raises(Killed):
            begin(coordinator, case_id, request)
    # Whatever was said so far, the ledger and its copy had it first
    if said := started(coordinator):
        assert [entry.kind for entry in entries_of(coordinator, case_id)] == ["begun"]
    coordinator.works(case_id)
    assert said + started(coordinator) == [request]
    assert [entry.kind for entry in entries_of(coordinator, case_id)] == ["begun"]
    folder = Path(coordinator.system.provided.env["consent"]["FMN_LEDGER_COPY"])
    assert [entry for entry in LedgerCopy(folder).entries() if entry.case_id == case_id] == entries_of(
        coordinator, case_id
    )
    coordinator.put_away(case_id)


def test_looking_again_tells_no_service_before_the_ledger_has_it(coordinator: Coordinator) -> None:
    case_id, request = decided(coordinator)
    coordinator.db["steps"].delete_many({"case_id": case_id, "kind": BEGIN_STEP})
    coordinator.works(case_id, minutes_later=True)
    assert started(coordinator) == []
    begin(coordinator, case_id, request)
    assert started(coordinator) == [request]
    coordinator.put_away(case_id)


def a_consent(coordinator: Coordinator, case_id: str, *purposes: str) -> str:
    now = utc_now().isoformat()
    body = {
        "case_id": case_id,
        "decision": "given",
        "given_by": {"name": "Żaneta Okonkwo-Łukasik", "capacity": "parental_responsibility"},
        "channel": "phone",
        "informed_at": now,
        "given_at": now,
        "statement_version": "1",
        "purposes": [{"purpose": purpose} for purpose in purposes],
    }
    answer = coordinator.call("Ola", "POST", "/consents", body)
    assert answer.status_code == 201, answer.get_json()
    return str(answer.get_json()["id"])


def test_a_withdrawal_says_what_a_restore_must_withdraw_again(coordinator: Coordinator) -> None:
    case_id = coordinator.a_family()
    given = a_consent(coordinator, case_id, "casework", "email")
    back: dict[str, Any] = {"channel": "phone", "by": "Żaneta Okonkwo-Łukasik"}
    path = f"/consents/{given}/withdrawal"
    some = coordinator.call("Ola", "POST", path, back | {"purposes": [{"purpose": "email"}]})
    assert some.status_code == 201, some.get_json()
    assert coordinator.call("Ola", "POST", path, back).status_code == 201
    coordinator.works(case_id)
    part, rest = entries_of(coordinator, case_id)
    assert (part.kind, part.withdrawn) == (
        "withdrawal",
        {"consent": given, "grants": [{"purpose": "email", "party": None, "document_kind": None}]},
    )
    assert (rest.kind, rest.withdrawn) == ("withdrawal", {"consent": given, "grants": None})
    ending = coordinator.opened.context.stores.endings.get(part.about)
    assert ending is not None
    assert part.at == ending.recorded_at
    coordinator.put_away(case_id)


def test_each_change_of_contact_is_entered_once_with_case_and_time_alone(coordinator: Coordinator) -> None:
    case_id = coordinator.a_family()
    changes = [Envelope(event=an_event("case", case.CONTACT_CHANGED, case_id), account="case") for _ in range(3)]
    # In any order, and again
    coordinator.bring(*reversed(changes))
    coordinator.works(case_id)
    coordinator.bring(*changes, redelivered=True)
    # Also of a family that asked to be forgotten
    coordinator.call("Ola", "POST", "/requests", a_request(case_id))
    late = Envelope(event=an_event("case", case.CONTACT_CHANGED, case_id), account="case")
    coordinator.bring(late)
    coordinator.works(case_id)
    found = entries_of(coordinator, case_id)
    assert sorted(entry.about for entry in found) == sorted(one.event.id for one in [*changes, late])
    assert {(entry.kind, entry.withdrawn) for entry in found} == {("contact_changed", None)}
    coordinator.put_away(case_id)


def test_another_service_cant_say_that_contact_changed(coordinator: Coordinator) -> None:
    case_id = coordinator.a_family()
    event = an_event("case", case.CONTACT_CHANGED, case_id)
    coordinator.bring(Envelope(event=event, account="notifier"))
    assert coordinator.unhandled("parked") == ["forged-sender"]
    coordinator.works(case_id)
    assert entries_of(coordinator, case_id) == []


def test_what_comes_for_an_erased_case_is_not_entered(coordinator: Coordinator) -> None:
    case_id, request = decided(coordinator)
    coordinator.bring(Envelope(event=an_event("case", case.CONTACT_CHANGED, case_id), account="case"))
    coordinator.works(case_id)
    assert [entry.kind for entry in entries_of(coordinator, case_id)] == ["begun"]
    assert started(coordinator) == [request]
    # And what no event is about
    assert coordinator.opened.context.stores.ledger.rows.find_one({"about": new_id()}) is None
    coordinator.put_away(case_id)
