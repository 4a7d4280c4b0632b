"""The erasure, moved on: whoever changes something a request waits for calls `advance` in the same transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from services.consent.model.consents import Ending
from services.consent.model.requests import (
    PARTICIPANTS,
    Move,
    Phase,
    Receipt,
    Request,
    Status,
    latest,
    next_move,
    silent,
)
from services.consent.store import Stores
from shared import events
from shared.db.gates import CLOSED
from shared.db.unit_of_work import Tx
from shared.ids import new_id
from shared.uk.working_days import end_of_day, london_day

ASK_AGAIN_STEP = "ask_again"
COMPLETE_STEP = "complete"
DROP_KEY_STEP = "drop_request_key"
# Silence is asked about soon at first, and then in proportion to how long it has lasted.
_FIRST_ASK_AGAIN = timedelta(seconds=10)
_AFTER_A_FAILURE = timedelta(seconds=5)
_LONGEST_SILENCE = timedelta(hours=1)


def advance(stores: Stores, tx: Tx, request: Request) -> Request:
    """Take the next step if nothing stands in its way; decided and written in this one transaction."""
    moved = _go_on(stores, tx, request)
    if moved.phase is not request.phase:
        keep_looking(stores, tx, moved)
    return moved


def _go_on(stores: Stores, tx: Tx, request: Request) -> Request:
    held = stores.is_held(request.case_id, london_day(tx.now), tx)
    move = next_move(request, stores.receipts_of(request.id, tx), held=held)
    return request if move is None else _MOVES[move](stores, tx, request)


def _prepare(stores: Stores, tx: Tx, request: Request) -> Request:
    _tell_preparing(tx, request)
    moved = replace(request, status=Status.IN_PROGRESS, phase=Phase.PREPARING)
    moved = stores.change_request(tx, request, moved)
    # A manager may have settled the letter already, and then nothing is waited for.
    return _go_on(stores, tx, moved)


def _begin(stores: Stores, tx: Tx, request: Request) -> Request:
    """From here on it can't be undone: the gate closes and the consents end."""
    attempts = dict.fromkeys(PARTICIPANTS, 1)
    moved = stores.change_request(tx, request, replace(request, phase=Phase.BEGUN, attempts=attempts))
    if stores.unit_of_work.gates.state(request.case_id, tx.session) != CLOSED:
        _end_consents(stores, tx, request)
        tx.gates.close(tx.session, request.case_id)
    _start(tx, moved, list(PARTICIPANTS), 1)
    return moved


def _verify(stores: Stores, tx: Tx, request: Request) -> Request:
    moved = stores.change_request(tx, request, replace(request, phase=Phase.VERIFIED, verified_at=tx.now))
    _tell_verified(stores, tx, moved)
    return _go_on(stores, tx, moved)


def _complete(stores: Stores, tx: Tx, request: Request) -> Request:
    stores.steps.add(tx, COMPLETE_STEP, request.id, request.case_id)
    return request


_MOVES: Mapping[Move, Callable[[Stores, Tx, Request], Request]] = {
    Move.PREPARE: _prepare,
    Move.BEGIN: _begin,
    Move.VERIFY: _verify,
    Move.COMPLETE: _complete,
}


def stop(stores: Stores, tx: Tx, request: Request, status: Status, *, released: Callable[[Tx, str], None]) -> Request:
    """Withdrawn, refused or void before it has begun: release the case if no other erasure of it is open.

    released: what goes on once a case is released, in the same transaction; told its id.
    """
    if request.phase is Phase.PREPARING:
        tx.emit(events.consent.CANCELLED, _ids(request))
    moved = stores.change_request(tx, request, replace(request, status=status, phase=Phase.STOPPED))
    if tx.gates.state(request.case_id, tx.session) == CLOSED:
        # What is asked about a case that is gone is kept no longer than it is asked.
        stores.requests.strip(tx, request.id)
        stores.steps.add(tx, DROP_KEY_STEP, request.id, request.case_id)
    if not any(r.stands and r.kind == "erasure" for r in stores.requests_of(request.case_id, tx) if r.id != request.id):
        tx.gates.release(tx.session, request.case_id)
        tx.emit(events.consent.RELEASED, {"case": request.case_id})
        released(tx, request.case_id)
    return moved


def ask_again(stores: Stores, request_id: str) -> datetime | None:
    """Ask whoever has not answered once more; when to look again, or None when nobody is waited for.

    A service that answered "failed" gets a new attempt, which walks every store again; a silent one the same attempt,
    which it answers with the receipt it stored; one that joined after the erasure began, its first.
    """

    def act(tx: Tx) -> datetime | None:
        request = stores.request(request_id, tx)
        if request is None or not request.stands:
            return None
        tx.gates.touch(tx.session, request.case_id)
        receipts = stores.receipts_of(request.id, tx)
        if request.phase is Phase.PREPARING and request.letter is None:
            _tell_preparing(tx, request)
        elif request.begun and silent(request, receipts):
            # Also once verified: a second receipt that found something undoes the first.
            _ask_the_silent(stores, tx, request, receipts)
        elif request.phase is Phase.VERIFIED and not _letter_told(request, receipts):
            _tell_verified(stores, tx, request)
        found = stores.request(request_id, tx)
        # What held it may have passed by itself: a hold ends with its day.
        if found is not None and _go_on(stores, tx, found).phase is not found.phase:
            # Returned and not added: a step that is asked for while it runs is run again at once.
            return tx.now + _FIRST_ASK_AGAIN
        return tx.now + _pause(tx.now - (request.confirmed_at or tx.now))

    return stores.unit_of_work.run(act)


def _ask_the_silent(stores: Stores, tx: Tx, request: Request, receipts: Sequence[Receipt]) -> None:
    # A participant that came with a newer deployment, after this erasure began, is asked like the others.
    attempts = {**dict.fromkeys(PARTICIPANTS, 1), **request.attempts}
    asked: dict[int, list[str]] = {}
    for service in silent(request, receipts):
        if any(r.service == service and r.attempt == attempts[service] for r in receipts):
            attempts[service] += 1
        asked.setdefault(attempts[service], []).append(service)
    if attempts != dict(request.attempts):
        request = stores.change_request(tx, request, replace(request, attempts=attempts))
    for attempt, services in asked.items():
        _start(tx, request, services, attempt)


def _letter_told(request: Request, receipts: Sequence[Receipt]) -> bool:
    answer = latest(request, receipts).get("notifier")
    return answer is not None and answer.last_letter is not None


def after_a_failure(stores: Stores, tx: Tx, request: Request) -> None:
    """A service answered that something remained: ask it for a new attempt soon."""
    stores.steps.add(tx, ASK_AGAIN_STEP, request.id, request.case_id, due=tx.now + _AFTER_A_FAILURE)


def keep_looking(stores: Stores, tx: Tx, request: Request) -> None:
    """Look at the request again by itself: a hold ends with its day, and nobody calls then."""
    stores.steps.add(tx, ASK_AGAIN_STEP, request.id, request.case_id, due=tx.now + _FIRST_ASK_AGAIN)


def _pause(silence: timedelta) -> timedelta:
    return min(max(silence / 2, _FIRST_ASK_AGAIN), _LONGEST_SILENCE)


def _end_consents(stores: Stores, tx: Tx, request: Request) -> None:
    """Consents end with an entry of their own; what was given is never changed."""
    for consent_id in dict.fromkeys(s.consent_id for s in stores.standing(request.case_id, london_day(tx.now), tx)):
        stores.add_ending(
            tx,
            Ending(
                id=new_id(),
                case_id=request.case_id,
                consent_id=consent_id,
                channel=request.channel,
                by="erasure",
                grants=None,
                at=tx.now,
            ),
        )


def _tell_preparing(tx: Tx, request: Request) -> None:
    tx.emit(events.consent.PREPARING, {**_ids(request), "received_at": request.received_at.isoformat()})


def _start(tx: Tx, request: Request, participants: list[str], attempt: int) -> None:
    tx.emit(
        events.consent.STARTED,
        {
            **_ids(request),
            "attempt": attempt,
            "due_at": request.due_at.isoformat(),
            "participants": participants,
        },
    )


def _tell_verified(stores: Stores, tx: Tx, request: Request) -> None:
    """The last letter may go until the due time or, where that is later, one working day after verified."""
    verified_on = london_day(request.verified_at or tx.now)
    last = max(request.due_at, end_of_day(stores.calendar.after(verified_on, 1)))
    tx.emit(events.consent.VERIFIED, {**_ids(request), "due_at": last.isoformat()})


def _ids(request: Request) -> dict[str, str]:
    return {"request": request.id, "case": request.case_id}
