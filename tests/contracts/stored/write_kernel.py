"""Records of the stores that every service has, written as the services write them (see make.py)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from shared.clock import utc_now
from shared.events import Event, all_types, write
from shared.http.idempotency import Claim
from shared.http.responses import JsonResponse
from shared.messaging.deliveries import Delivery
from shared.messaging.steps import StepRow
from tests.contracts.stored.ids import (
    CASE,
    DEFERRED,
    ERASED,
    FOREIGN,
    FROZEN,
    HEARD,
    KEYLESS,
    PARKED,
    PERSON_OF_AUDIT,
    REQUEST,
    STRIPPED,
    TRIED,
    numbered,
)
from tests.contracts.stored.opening import Opened

WHEN = datetime(2026, 3, 14, 9, 26, 53, 589_000, tzinfo=UTC)
DIGEST = "0123456789abcdef" * 4


def an_event(id: str, type_name: str, source: str, seq: int, **data: Any) -> Event:
    return Event(id=id, type=all_types()[type_name], source=source, time=WHEN, seq=seq, data=data)


def prepare(opened: Opened) -> None:
    """Keys and gates of the cases, before anything is written of them."""
    unit_of_work, vault = opened.kit.unit_of_work, opened.kit.vault
    unit_of_work.gates.prepare(vault, [CASE, FROZEN, ERASED, KEYLESS])
    # A case that nobody here had heard of, when its end was.
    unit_of_work.run(lambda tx: unit_of_work.gates.close(tx.session, numbered(5)), answers=False)
    unit_of_work.run(lambda tx: tx.enter(CASE), answers=False)
    unit_of_work.run(lambda tx: unit_of_work.gates.is_news(tx.session, CASE, "state", 3), answers=False)


def write_kernel(opened: Opened) -> None:
    """Every record of the kernel's own; after those of the service, since a case is erased here."""
    _idempotency(opened)
    _audit(opened)
    _outbox_of_failures(opened)
    _erasures(opened)
    _messages(opened)
    _steps(opened)
    unit_of_work = opened.kit.unit_of_work
    unit_of_work.run(lambda tx: unit_of_work.gates.freeze(tx.session, FROZEN), answers=False)
    opened.kit.vault.destroy_key(KEYLESS)


def _idempotency(opened: Opened) -> None:
    rows = opened.kit.kernel_stores.idempotency
    opened.kit.unit_of_work.before_commit = rows.before_commit
    answers = {
        "of a case": JsonResponse(status=201, body={"id": CASE, "näme": "Żaneta"}, headers={"ETag": '"1"'}, case_id=CASE),
        "of the office": JsonResponse(status=200, body={"count": 2, "none": None, "list": [1, "two", True]}),
    }
    for what, answer in answers.items():
        claim = Claim(row_id=rows.digest(what.encode()), render=lambda result: result, office=answer.case_id is None)
        rows.claim(claim, rows.digest(b"body"))
        rows.hold(claim)
        opened.kit.unit_of_work.run(lambda tx, answer=answer: answer)
        rows.let_go()
    in_use = Claim(row_id=rows.digest(b"in use"), render=lambda result: result, office=False)
    rows.claim(in_use, rows.digest(b"body"))


def _audit(opened: Opened) -> None:
    row = {"at": WHEN, "sub": "worker-1", "role": "caseworker", "action": "add_person", "outcome": "done"}
    named = {"case_id": CASE, "record_id": PERSON_OF_AUDIT, "trace_id": "0af7651916cd43dd8448eb211c80319c"}
    audit = opened.kit.kernel_stores.audit
    audit.write({**row, **named, "status": 201})
    nothing = dict.fromkeys(("case_id", "record_id", "trace_id"))
    audit.write({**row, **nothing, "sub": "anonymous", "role": "none", "outcome": "denied", "status": 401})
    audit.write_or_keep({**row, **named, "role": "safeguarding_lead", "status": 200, "apart": True})


def _outbox_of_failures(opened: Opened) -> None:
    """One event that the broker refused until it was marked, one refused twice, one that is new."""
    opened.kit.unit_of_work.hand_over = lambda rows: None
    broker = opened.outbox._publisher
    broker.outcome = "nacked"
    now = utc_now()

    def emit(request: str) -> None:
        data = {"request": request, "case": CASE, "service": opened.name, "attempt": 1, "receipt": "aa.bb.cc"}
        opened.kit.unit_of_work.run(lambda tx: tx.emit(all_types()["erasure.receipt.v1"], data), answers=False)

    emit(numbered(401))
    for hour in range(1, 7):
        opened.outbox.sweep(now + timedelta(hours=hour))
    emit(numbered(402))
    for hour in range(7, 9):
        opened.outbox.sweep(now + timedelta(hours=hour))
    emit(numbered(403))
    broker.outcome = "ok"
    opened.sent.clear()


def _erasures(opened: Opened) -> None:
    """One erasure that is done, and one that has only begun."""
    kit = opened.kit
    data = {"due_at": WHEN.isoformat(), "participants": ["case", "document", "consent", "notifier"]}
    done = an_event(numbered(801), "erasure.started.v1", "consent", 1, request=STRIPPED, case=ERASED, attempt=2, **data)
    kit.unit_of_work.run(lambda tx: kit.erasure_participant.on_started(tx, done), answers=False)
    step = StepRow(kind="erase", key=STRIPPED, case_id=ERASED, due=WHEN, attempts=1, now=utc_now())
    kit.erasure_participant.erase(step)
    other = numbered(6)
    begun = an_event(numbered(802), "erasure.started.v1", "consent", 1, request=REQUEST, case=other, attempt=1, **data)
    kit.unit_of_work.run(lambda tx: kit.erasure_participant.on_started(tx, begun), answers=False)


def _messages(opened: Opened) -> None:
    """Rows of the inbox and of the shelf."""
    inbox, parked_messages = opened.inbox, opened.inbox.parked_messages
    heard = an_event(HEARD, "case.state.v1", "case", 5, case=CASE, state="open")
    inbox.handle([delivery(heard)])
    opened.heard.clear()
    now = WHEN
    state = an_event(DEFERRED, "case.state.v1", "case", 7, case=CASE, state="inactive")
    asked = {"request": REQUEST, "case": CASE, "received_at": WHEN.isoformat()}
    for event in (state, an_event(TRIED, "erasure.preparing.v1", "consent", 8, **asked)):
        message = parked_messages.message(
            body=write(event),
            user_id=f"fmn-{event.source}",
            type_name=event.type.type,
            case_id=CASE,
            id=event.id,
        )
        parked_messages.defer(message, "server-away" if event is state else "frozen", now)
        if event is state:
            parked_messages.claim(now + timedelta(hours=2))
    parked = an_event(PARKED, "erasure.completed.v1", "consent", 9, request=REQUEST, case=CASE)
    message = parked_messages.message(
        body=write(parked), user_id="fmn-consent", type_name="erasure.completed.v1", case_id=CASE, id=PARKED
    )
    parked_messages.park(message, "erased")
    foreign = parked_messages.message(body=b"\xff\x00no event", user_id=None, type_name="What is this?", id=FOREIGN)
    parked_messages.park(foreign, "unreadable")
    parked_messages.mark(DIGEST, WHEN)
    parked_messages.mark(DIGEST, WHEN + timedelta(minutes=1))
    parked_messages.mark(HEARD, WHEN)


def delivery(event: Event) -> Delivery:
    return Delivery(
        body=write(event),
        user_id=f"fmn-{event.source}",
        message_id=event.id,
        delivery_count=0,
        routing_key=event.routing_key,
    )


def _steps(opened: Opened) -> None:
    """One that a process held when it died, one that is due, one for later that is about no case."""
    unit_of_work, steps = opened.kit.unit_of_work, opened.kit.steps
    unit_of_work.run(lambda tx: steps.add(tx, "tell", CASE, CASE), answers=False)
    steps.serve({"tell": lambda step: None})
    steps._claim(utc_now())
    unit_of_work.run(lambda tx: steps.add(tx, "tell", CASE, CASE, WHEN), answers=False)
    unit_of_work.run(lambda tx: steps.add(tx, "look", REQUEST, CASE), answers=False)
    unit_of_work.run(lambda tx: steps.add(tx, "sweep", "daily", None, WHEN + timedelta(days=1)), answers=False)
