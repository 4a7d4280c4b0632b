"""What people do with a request: log it, confirm it, settle who asked, take it back, refuse it, hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from services.consent.actions.rights import refuse_ending
from services.consent.actions.saga import advance, check_again_later, stop
from services.consent.context import Context
from services.consent.model.requests import (
    CHECKS,
    ERASURE,
    ERASURE_WORKING_DAYS,
    NOT_BEGUN,
    Hold,
    Phase,
    Request,
    Status,
    letter_outcome,
    request_key,
)
from services.consent.store import Stores, queries
from shared import events
from shared.db.gates import CLOSED
from shared.db.unit_of_work import Tx
from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.uk.working_days import end_of_day, london_day

BEGUN_SENTENCE = "The erasure has begun and can't be undone. Nothing was changed."
NO_REQUEST = "There is no such request here."
NO_HOLD = "There is no such hold here."


def log_erasure(
    context: Context,
    *,
    id: str,
    case_id: str,
    received_at: datetime,
    channel: str,
    personal: Mapping[str, Any],
    identity_settled: bool,
    logged_by: str,
    now: datetime,
) -> tuple[Request, bool]:
    """Log that an erasure was asked for, and freeze the case; or join the one that is open (P24, P25).

    Returns the request, and whether it is new. `personal`: {made_by, note?, late_reason?}. The caller has settled
    that the case is one we know of.
    """
    stores = context.stores
    if london_day(now) > london_day(received_at) and not personal.get("late_reason"):
        raise Invalid(
            "It was received on an earlier day than today, so say why it is logged late. Nothing was stored.",
            errors={"late_reason": ["Needed when a request is logged on a later day than it was received."]},
        )
    new = new_erasure(
        context,
        id=id,
        case_id=case_id,
        received_at=received_at,
        channel=channel,
        personal=personal,
        identity_settled=identity_settled,
        logged_by=logged_by,
        now=now,
    )
    erased = stores.unit_of_work.gates.state(case_id) == CLOSED

    def act(tx: Tx) -> tuple[Request, bool]:
        tx.gates.touch(tx.session, case_id)
        if not erased:
            by = personal["made_by"]
            refuse_ending(stores, tx, case_id, authority=by["authority"], person_id=by.get("person_id"), now=now)
        if (tx.gates.state(case_id, tx.session) == CLOSED) != erased and not _open_erasures(stores, tx, case_id):
            raise Conflict("The case was just erased. Nothing was stored; log the request again.")
        return log_or_join(stores, tx, replace(new, own_key=erased))

    return stores.unit_of_work.run(act)


def new_erasure(
    context: Context,
    *,
    id: str,
    case_id: str,
    received_at: datetime,
    channel: str,
    personal: Mapping[str, Any],
    identity_settled: bool,
    logged_by: str,
    now: datetime,
    recorded_by: str | None = None,
) -> Request:
    """A request for erasure as it is when it is logged: due on the second working day (P24)."""
    due_on = context.stores.calendar.after(london_day(received_at), ERASURE_WORKING_DAYS)
    return Request(
        id=id,
        kind=ERASURE,
        case_id=case_id,
        status=Status.RECEIVED,
        phase=Phase.ASKED,
        received_at=received_at,
        logged_at=now,
        logged_by=logged_by,
        recorded_by=recorded_by,
        channel=channel,
        due_on=due_on,
        due_at=end_of_day(due_on),
        about=(),
        identity_settled=identity_settled,
        confirmed_by=None,
        confirmed_at=None,
        letter=None,
        attempts={},
        elsewhere=context.elsewhere,
        elsewhere_certified=(),
        verified_at=None,
        completed_at=None,
        certificate=None,
        personal=personal,
    )


def log_or_join(stores: Stores, tx: Tx, new: Request) -> tuple[Request, bool]:
    """Log it and freeze the case, or join the erasure that is open; the caller has counted the write at the gate.

    Returns the request, and whether it is new.
    """
    for joined in _open_erasures(stores, tx, new.case_id):
        return joined, False
    if new.own_key:
        stores.keys.make(tx, request_key(new.id))
    stores.requests.add(new, tx=tx)
    tx.gates.freeze(tx.session, new.case_id)
    tx.emit(events.consent.FROZEN, {"case": new.case_id})
    return new, True


def _open_erasures(stores: Stores, tx: Tx, case_id: str) -> list[Request]:
    return [request for request in stores.requests.of_case(case_id, tx=tx) if request.is_open_erasure]


def confirm(stores: Stores, *, request_id: str, checked: Sequence[str], sub: str) -> Request:
    """A second person confirms: this is the family, they may ask it, no safeguarding concern stands (P24)."""
    if set(checked) != CHECKS:
        raise Invalid(
            "All three must have been checked. Nothing was changed.",
            errors={"checked": ["Check and name each of family, authority and safeguarding."]},
        )

    def act(tx: Tx) -> Request:
        request = _not_begun(_erasure(stores, tx, request_id))
        if sub in (request.logged_by, request.recorded_by):
            raise Forbidden("The person who logged a request can't confirm it: ask a colleague. Nothing was changed.")
        if request.confirmed_at is not None:
            raise Conflict("It has been confirmed already. Nothing was changed.")
        check_again_later(stores, tx, request)
        return _changed(stores, tx, replace(request, confirmed_by=sub, confirmed_at=tx.now))

    return stores.unit_of_work.run(act)


def settle_identity(stores: Stores, *, request_id: str, settled: bool) -> Request:
    """Record whether it is in doubt who asked; the clock doesn't stop for it."""

    def act(tx: Tx) -> Request:
        request = _not_begun(_standing(stores, tx, request_id))
        return _changed(stores, tx, replace(request, identity_settled=settled))

    return stores.unit_of_work.run(act)


def end_early(context: Context, *, request_id: str, status: Status) -> Request:
    """Withdrawn by the family, refused, or void: nothing is lost, and the case is released."""

    def act(tx: Tx) -> Request:
        return stop(context, tx, _not_begun(_standing(context.stores, tx, request_id)), status)

    return context.stores.unit_of_work.run(act)


def settle_letter(stores: Stores, *, request_id: str, outcome: str) -> Request:
    """A manager settles a last letter that can't go; while it is being sealed this counts as the answer.

    At any time from preparing on (docs/decisions/0014). The same outcome again changes nothing. Raises Conflict for
    another outcome than the one it has ended with.
    """

    def act(tx: Tx) -> Request:
        request = _erasure(stores, tx, request_id)
        if request.phase is Phase.ASKED:
            raise Conflict("No last letter is being written yet. Nothing was changed.")
        ended = letter_outcome(request, queries.receipts_of(stores, request.id, tx=tx))
        if ended == outcome:
            return request
        if ended is not None:
            raise Conflict(f"The last letter has ended already, as `{ended}`. Nothing was changed.")
        ids = {"request": request.id, "case": request.case_id}
        tx.emit(events.consent.SETTLED, {**ids, "outcome": outcome})
        return _changed(stores, tx, replace(request, letter=outcome))

    return stores.unit_of_work.run(act)


def certify_elsewhere(stores: Stores, *, request_id: str, place: str) -> Request:
    """A place outside the software (mailbox, phones, shared drive) was emptied of the case."""

    def act(tx: Tx) -> Request:
        request = _erasure(stores, tx, request_id)
        if place not in request.elsewhere:
            raise Invalid(
                "That isn't one of the places to certify. Nothing was changed.",
                errors={"place": ["Name one of the places set for this office (FMN_ELSEWHERE)."]},
            )
        if not request.begun:
            raise Conflict("The erasure hasn't begun, so nothing can be certified yet. Nothing was changed.")
        if place in request.elsewhere_certified:
            raise Conflict("That place was certified before. Nothing was changed.")
        return _changed(stores, tx, replace(request, elsewhere_certified=(*request.elsewhere_certified, place)))

    return stores.unit_of_work.run(act)


def place_hold(stores: Stores, hold: Hold) -> Hold:
    """Hold any erasure of the case on a legal ground, until a date that is included."""
    if hold.until < london_day(hold.placed_at):
        raise Invalid("A hold can't end before it begins. Nothing was stored.", errors={"until": ["This day is over."]})

    def act(tx: Tx) -> Hold:
        if tx.gates.state(hold.case_id, tx.session) == CLOSED:
            raise Conflict("The erasure has begun: it can't be held any more. Nothing was stored.")
        tx.enter(hold.case_id, frozen_too=True)
        return stores.holds.add(hold, tx=tx)

    return stores.unit_of_work.run(act)


def lift_hold(stores: Stores, *, hold_id: str) -> None:
    """Lift a hold; the erasure that it alone stood in the way of goes on."""

    def act(tx: Tx) -> None:
        hold = stores.holds.get(hold_id, tx=tx)
        if hold is None:
            raise NotFound(NO_HOLD)
        tx.enter(hold.case_id, frozen_too=True)
        stores.holds.remove(hold, tx=tx)
        for request in _open_erasures(stores, tx, hold.case_id):
            advance(stores, tx, request)

    stores.unit_of_work.run(act)


def _changed(stores: Stores, tx: Tx, request: Request) -> Request:
    """Keep what was changed of it, and take the step that waited for that."""
    return advance(stores, tx, stores.requests.save(request, tx=tx))


def _standing(stores: Stores, tx: Tx, request_id: str) -> Request:
    request = stores.requests.get(request_id, tx=tx)
    if request is None:
        raise NotFound(NO_REQUEST)
    # Two people working one request at once conflict here, and the second reads what the first decided.
    tx.gates.touch(tx.session, request.case_id)
    if not request.stands:
        raise Conflict("This request is closed. Nothing was changed.")
    return request


def _erasure(stores: Stores, tx: Tx, request_id: str) -> Request:
    request = _standing(stores, tx, request_id)
    if not request.is_open_erasure:
        raise Conflict("This request doesn't ask for an erasure. Nothing was changed.")
    return request


def _not_begun(request: Request) -> Request:
    if request.phase not in NOT_BEGUN:
        raise Conflict(BEGUN_SENTENCE)
    return request
