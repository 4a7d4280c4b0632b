"""The erasure, step by step: each change of what a request waits for calls `advance` in the same transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from services.consent.actions import organisations, readings
from services.consent.context import Context
from services.consent.model.consents import Ending
from services.consent.model.requests import (
    Move,
    Phase,
    Receipt,
    Request,
    Status,
    awaited,
    latest,
    next_move,
    request_key,
)
from services.consent.store import Stores, queries
from shared import events
from shared.db.gates import CLOSED
from shared.db.unit_of_work import Tx
from shared.events import SERVICES
from shared.ids import new_id
from shared.ledger import BEGUN
from shared.messaging.steps import StepRow
from shared.uk.working_days import end_of_day, london_day

ASK_AGAIN_STEP = "ask_again"
BEGIN_STEP = "begin"
# A service that doesn't answer is asked again soon at first, and then in proportion to how long that has lasted.
_FIRST_ASK_AGAIN = timedelta(seconds=10)
_AFTER_A_FAILURE = timedelta(seconds=5)
_LONGEST_PAUSE = timedelta(hours=1)


def advance(stores: Stores, tx: Tx, request: Request) -> Request:
    """Take the next step if nothing stands in its way; decided and written in this one transaction."""
    moved = _take_step(stores, tx, request)
    if moved.phase is not request.phase:
        check_again_later(stores, tx, moved)
    return moved


def _take_step(stores: Stores, tx: Tx, request: Request) -> Request:
    held = queries.is_held(stores, request.case_id, london_day(tx.now), tx=tx)
    move = next_move(request, queries.receipts_of(stores, request.id, tx=tx), held=held)
    return request if move is None else _MOVES[move](stores, tx, request)


def _prepare(stores: Stores, tx: Tx, request: Request) -> Request:
    _emit_preparing(tx, request)
    moved = replace(request, status=Status.IN_PROGRESS, phase=Phase.PREPARING)
    # A manager may have settled the letter already, and then nothing is waited for.
    return _take_step(stores, tx, stores.requests.save(moved, tx=tx))


def _begin(stores: Stores, tx: Tx, request: Request) -> Request:
    """From here on it can't be undone: the gate closes and the consents end. Nothing is destroyed before the ledger and
    its copy have it (`begin_step`): the erasure may wait days for paper, and a restore meanwhile must go on with it.
    """
    left = organisations.let_go(stores, tx, request.case_id)
    moved = replace(request, phase=Phase.BEGINNING, organisations_left=left)
    moved = stores.requests.save(moved, tx=tx)
    if stores.unit_of_work.gates.state(request.case_id, tx.session) != CLOSED:
        _end_consents(stores, tx, request)
        tx.gates.close(tx.session, request.case_id)
    stores.steps.add(tx, BEGIN_STEP, request.id, request.case_id)
    return moved


def begin_again(stores: Stores, tx: Tx, request: Request) -> Request:
    """Begin an erasure that had begun before a restore, whatever it waits for now. Its last letter is settled."""
    begun = _begin(stores, tx, request)
    check_again_later(stores, tx, begun)
    return begun


def begin_step(context: Context, step: StepRow) -> None:
    """Enter it in the ledger, and only then tell the services to erase. Raises Temporary while the ledger refuses."""
    stores = context.stores
    decided = stores.requests.get(step.key)
    if decided is None or not decided.is_beginning:
        return
    context.ledger.append(kind=BEGUN, about=decided.id, case_id=decided.case_id, at=step.now, now=step.now)

    def act(tx: Tx) -> None:
        request = stores.requests.get(step.key, tx=tx)
        if request is None or not request.is_beginning:
            return
        tx.gates.touch(tx.session, request.case_id)
        moved = replace(request, phase=Phase.BEGUN, attempts=dict.fromkeys(SERVICES, 1))
        moved = stores.requests.save(moved, tx=tx)
        _emit_started(stores, tx, moved, list(SERVICES), 1)
        check_again_later(stores, tx, moved)

    stores.unit_of_work.run(act)


def _verify(stores: Stores, tx: Tx, request: Request) -> Request:
    moved = stores.requests.save(replace(request, phase=Phase.VERIFIED, verified_at=tx.now), tx=tx)
    _emit_verified(stores, tx, moved)
    return _take_step(stores, tx, moved)


def _complete(stores: Stores, tx: Tx, request: Request) -> Request:
    readings.ask(stores, tx, request, queries.receipts_of(stores, request.id, tx=tx))
    return request


_MOVES: Mapping[Move, Callable[[Stores, Tx, Request], Request]] = {
    Move.PREPARE: _prepare,
    Move.BEGIN: _begin,
    Move.VERIFY: _verify,
    Move.COMPLETE: _complete,
}


def stop(context: Context, tx: Tx, request: Request, status: Status) -> Request:
    """Withdrawn, refused or void before it has begun: release the case if no other erasure of it is open."""
    stores, case_id = context.stores, request.case_id
    if request.is_open_erasure and request.phase is Phase.PREPARING:
        tx.emit(events.consent.CANCELLED, _ids(request))
    stopped = replace(request, status=status, phase=Phase.STOPPED)
    if tx.gates.state(case_id, tx.session) == CLOSED:
        # What is asked about a case that is gone is kept no longer than it is asked.
        stopped = stores.requests.strip(stopped, tx=tx)
        stores.keys.doom(tx, request_key(request.id))
    else:
        stopped = stores.requests.save(stopped, tx=tx)
    if request.is_open_erasure and not any(one.is_open_erasure for one in stores.requests.of_case(case_id, tx=tx)):
        context.release(tx, case_id)
        tx.emit(events.consent.RELEASED, {"case": case_id})
    return stopped


def ask_again_step(context: Context, step: StepRow) -> datetime | None:
    """See `ask_again`."""
    return ask_again(context.stores, step.key)


def ask_again(stores: Stores, request_id: str) -> datetime | None:
    """Ask each service that has not answered once more; when to ask again, or None when no answer is waited for.

    A service that answered "failed" gets a new attempt, which walks every store again; one that didn't answer the same
    attempt, which it answers with the receipt it stored; one that joined after the erasure began, its first.
    """

    def act(tx: Tx) -> datetime | None:
        request = stores.requests.get(request_id, tx=tx)
        if request is None or not request.is_open_erasure:
            return None
        tx.gates.touch(tx.session, request.case_id)
        receipts = queries.receipts_of(stores, request.id, tx=tx)
        if request.phase is Phase.PREPARING and request.letter is None:
            _emit_preparing(tx, request)
        elif request.begun and awaited(request, receipts):
            # Also once verified: a second receipt that found something undoes the first.
            request = _ask_awaited(stores, tx, request, receipts)
        elif request.phase is Phase.VERIFIED and not _letter_has_ended(request, receipts):
            _emit_verified(stores, tx, request)
        # What held it may have passed by itself: a hold ends with its day.
        if _take_step(stores, tx, request).phase is not request.phase:
            # Returned and not added: a step that is asked for while it runs is run again at once.
            return tx.now + _FIRST_ASK_AGAIN
        return tx.now + _pause(tx.now - (request.confirmed_at or tx.now))

    return stores.unit_of_work.run(act)


def _ask_awaited(stores: Stores, tx: Tx, request: Request, receipts: Sequence[Receipt]) -> Request:
    # A service that came with a newer deployment, after this erasure began, is asked like the others.
    attempts = {**dict.fromkeys(SERVICES, 1), **request.attempts}
    asked: dict[int, list[str]] = {}
    for service in awaited(request, receipts):
        if any(r.service == service and r.attempt == attempts[service] for r in receipts):
            attempts[service] += 1
        asked.setdefault(attempts[service], []).append(service)
    if attempts != dict(request.attempts):
        request = stores.requests.save(replace(request, attempts=attempts), tx=tx)
    for attempt, services in asked.items():
        _emit_started(stores, tx, request, services, attempt)
    return request


def _letter_has_ended(request: Request, receipts: Sequence[Receipt]) -> bool:
    answer = latest(request, receipts).get("notifier")
    return answer is not None and answer.last_letter is not None


def retry_soon(stores: Stores, tx: Tx, request: Request) -> None:
    """A service answered that something remained: ask it for a new attempt soon."""
    stores.steps.add(tx, ASK_AGAIN_STEP, request.id, request.case_id, due=tx.now + _AFTER_A_FAILURE)


def check_again_later(stores: Stores, tx: Tx, request: Request) -> None:
    """Look at the request again by itself: a hold ends with its day, and no event says so."""
    stores.steps.add(tx, ASK_AGAIN_STEP, request.id, request.case_id, due=tx.now + _FIRST_ASK_AGAIN)


def _pause(waited: timedelta) -> timedelta:
    return min(max(waited / 2, _FIRST_ASK_AGAIN), _LONGEST_PAUSE)


def _end_consents(stores: Stores, tx: Tx, request: Request) -> None:
    """Consents end with an entry of their own; what was given is never changed."""
    standing = queries.standing(stores, request.case_id, london_day(tx.now), tx=tx)
    for consent_id in dict.fromkeys(one.consent_id for one in standing):
        ending = Ending(
            id=new_id(),
            case_id=request.case_id,
            consent_id=consent_id,
            channel=request.channel,
            by="erasure",
            grants=None,
            recorded_at=tx.now,
        )
        stores.endings.add(ending, tx=tx)


def _emit_preparing(tx: Tx, request: Request) -> None:
    tx.emit(events.consent.PREPARING, {**_ids(request), "received_at": request.received_at.isoformat()})


def _emit_started(stores: Stores, tx: Tx, request: Request, services: list[str], attempt: int) -> None:
    grant = stores.grants.erasure(request=request.id, case_id=request.case_id, attempt=attempt)
    tx.emit(
        events.consent.STARTED,
        {
            **_ids(request),
            "attempt": attempt,
            "due_at": request.due_at.isoformat(),
            "participants": services,
            "grant": grant,
        },
    )


def _emit_verified(stores: Stores, tx: Tx, request: Request) -> None:
    """The last letter may go until the due time or, where that is later, one working day after verified."""
    verified_on = london_day(request.verified_at or tx.now)
    last = max(request.due_at, end_of_day(stores.calendar.after(verified_on, 1)))
    tx.emit(events.consent.VERIFIED, {**_ids(request), "due_at": last.isoformat()})


def _ids(request: Request) -> dict[str, str]:
    return {"request": request.id, "case": request.case_id}
