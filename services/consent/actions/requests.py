"""What people do with a request: log it, confirm it, settle who asked, take it back, refuse it, hold it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from services.consent.actions.rights import refuse_ending
from services.consent.actions.saga import advance, keep_looking, stop
from services.consent.model.requests import (
    CHECKS,
    ERASURE_WORKING_DAYS,
    NOT_BEGUN,
    Hold,
    Phase,
    Request,
    Status,
)
from services.consent.store import Stores
from shared import events
from shared.db.gates import CLOSED
from shared.db.unit_of_work import Tx
from shared.errors import Conflict, Forbidden, Invalid, NotFound, Problem
from shared.uk.working_days import end_of_day, london_day

BEGUN_SENTENCE = "The erasure has begun and can't be undone. Nothing was changed."
NO_REQUEST = "There is no such request here."


def request_key(request_id: str) -> str:
    """The name of the key that a request about an erased case is sealed under."""
    return f"request:{request_id}"


def log_erasure(
    stores: Stores,
    *,
    id: str,
    case_id: str,
    received_at: datetime,
    channel: str,
    personal: Mapping[str, Any],
    identity_settled: bool,
    logged_by: str,
    elsewhere: Sequence[str],
    now: datetime,
) -> tuple[Request, bool]:
    """Log that an erasure was asked for, and freeze the case; or join the one that is open (P24, P25).

    Returns the request, and whether it is new. `personal`: {made_by, note?, late_reason?}. The caller has settled
    that the case is one we know of.
    """
    if london_day(now) > london_day(received_at) and not personal.get("late_reason"):
        raise Invalid(
            "It was received on an earlier day than today, so say why it is logged late. Nothing was stored.",
            errors={"late_reason": ["Needed when a request is logged on a later day than it was received."]},
        )
    new = new_erasure(
        stores,
        id=id,
        case_id=case_id,
        received_at=received_at,
        channel=channel,
        personal=personal,
        identity_settled=identity_settled,
        logged_by=logged_by,
        elsewhere=elsewhere,
        now=now,
    )
    erased = stores.unit_of_work.gates.state(case_id) == CLOSED
    if erased:
        stores.vault.create_key(request_key(id))

    def act(tx: Tx) -> tuple[Request, bool]:
        tx.gates.touch(tx.session, case_id)
        if not erased:
            by = personal["made_by"]
            refuse_ending(stores, tx, case_id, authority=by["authority"], person_id=by.get("person_id"), now=now)
        if (tx.gates.state(case_id, tx.session) == CLOSED) != erased and not _open_erasures(stores, tx, case_id):
            raise Conflict("The case was just erased. Nothing was stored; log the request again.")
        return log_or_join(stores, tx, new, key=request_key(id) if erased else None)

    try:
        logged, is_new = stores.unit_of_work.run(act)
    except Problem:
        drop_key(stores, id)
        raise
    if not is_new:
        drop_key(stores, id)
    return logged, is_new


def new_erasure(
    stores: Stores,
    *,
    id: str,
    case_id: str,
    received_at: datetime,
    channel: str,
    personal: Mapping[str, Any],
    identity_settled: bool,
    logged_by: str,
    elsewhere: Sequence[str],
    now: datetime,
    recorded_by: str | None = None,
) -> Request:
    """A request for erasure as it is when it is logged: due on the second working day (P24)."""
    due_on = stores.calendar.after(london_day(received_at), ERASURE_WORKING_DAYS)
    return Request(
        id=id,
        kind="erasure",
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
        elsewhere=tuple(elsewhere),
        elsewhere_certified=(),
        verified_at=None,
        completed_at=None,
        certificate=None,
        personal=personal,
        version=1,
    )


def log_or_join(stores: Stores, tx: Tx, new: Request, *, key: str | None = None) -> tuple[Request, bool]:
    """Log it and freeze the case, or join the erasure that is open; the caller has counted the write at the gate.

    key: the name of the key that it is sealed under, where that isn't the case's.
    """
    for joined in _open_erasures(stores, tx, new.case_id):
        return joined, False
    stores.add_request(tx, new, key=key)
    tx.gates.freeze(tx.session, new.case_id)
    tx.emit(events.consent.FROZEN, {"case": new.case_id})
    return new, True


def _open_erasures(stores: Stores, tx: Tx, case_id: str) -> list[Request]:
    return [r for r in stores.requests_of(case_id, tx) if r.stands and r.kind == "erasure"]


def drop_key(stores: Stores, request_id: str) -> None:
    """Destroy the key of its own that a request about an erased case had; most never had one."""
    stores.vault.destroy_key(request_key(request_id))


def confirm(stores: Stores, *, request_id: str, checked: Sequence[str], sub: str) -> Request:
    """A second person confirms: this is the family, they may ask it, no safeguarding concern stands (P24)."""
    if set(checked) != CHECKS:
        raise Invalid(
            "All three must have been checked. Nothing was changed.",
            errors={"checked": ["Check and name each of family, authority and safeguarding."]},
        )

    def act(tx: Tx) -> Request:
        request = _open_request(stores, tx, request_id)
        if sub in (request.logged_by, request.recorded_by):
            raise Forbidden("Whoever logged a request can't confirm it: ask a colleague. Nothing was changed.")
        if request.confirmed_at is not None:
            raise Conflict("It has been confirmed already. Nothing was changed.")
        confirmed = replace(request, confirmed_by=sub, confirmed_at=tx.now)
        keep_looking(stores, tx, request)
        return advance(stores, tx, stores.change_request(tx, request, confirmed))

    return stores.unit_of_work.run(act)


def settle_identity(stores: Stores, *, request_id: str, settled: bool) -> Request:
    """Record whether it is in doubt who asked; the clock doesn't stop for it."""

    def act(tx: Tx) -> Request:
        request = _open_request(stores, tx, request_id)
        moved = stores.change_request(tx, request, replace(request, identity_settled=settled))
        return advance(stores, tx, moved)

    return stores.unit_of_work.run(act)


def end_early(stores: Stores, *, request_id: str, status: Status, released: Callable[[Tx, str], None]) -> Request:
    """Withdrawn by the family, refused, or void: nothing is lost; the case is released, and `released` goes on then."""

    def act(tx: Tx) -> Request:
        return stop(stores, tx, _open_request(stores, tx, request_id), status, released=released)

    return stores.unit_of_work.run(act)


def settle_letter(stores: Stores, *, request_id: str, outcome: str) -> Request:
    """A manager settles a last letter that can't go; while it is being sealed this counts as the answer."""

    def act(tx: Tx) -> Request:
        request = _standing(stores, tx, request_id)
        if request.phase is Phase.ASKED:
            raise Conflict("No last letter is being written yet. Nothing was changed.")
        ids = {"request": request.id, "case": request.case_id}
        tx.emit(events.consent.SETTLED, {**ids, "outcome": outcome})
        return advance(stores, tx, stores.change_request(tx, request, replace(request, letter=outcome)))

    return stores.unit_of_work.run(act)


def certify_elsewhere(stores: Stores, *, request_id: str, place: str) -> Request:
    """Someone has emptied a place outside the software (mailbox, phones, shared drive) of the case."""

    def act(tx: Tx) -> Request:
        request = _standing(stores, tx, request_id)
        if place not in request.elsewhere:
            raise Invalid(
                "That isn't one of the places to certify. Nothing was changed.",
                errors={"place": ["Name one of the places set for this office (FMN_ELSEWHERE)."]},
            )
        if not request.begun:
            raise Conflict("The erasure hasn't begun, so nothing can be certified yet. Nothing was changed.")
        if place in request.elsewhere_certified:
            raise Conflict("That place was certified before. Nothing was changed.")
        certified = (*request.elsewhere_certified, place)
        return advance(stores, tx, stores.change_request(tx, request, replace(request, elsewhere_certified=certified)))

    return stores.unit_of_work.run(act)


def place_hold(
    stores: Stores, *, id: str, case_id: str, ground: str, until: date, reason: str, placed_by: str, now: datetime
) -> Hold:
    """Hold any erasure of the case on a legal ground, until a date that is included."""
    if until < london_day(now):
        raise Invalid("A hold can't end before it begins. Nothing was stored.", errors={"until": ["This day is over."]})
    hold = Hold(
        id=id,
        case_id=case_id,
        ground=ground,
        until=until,
        reason=reason,
        placed_by=placed_by,
        placed_at=now,
        version=1,
    )

    def act(tx: Tx) -> Hold:
        if tx.gates.state(case_id, tx.session) == CLOSED:
            raise Conflict("The erasure has begun: it can't be held any more. Nothing was stored.")
        tx.enter(case_id, frozen_too=True)
        clear = {"ground": ground, "until": until.isoformat(), "placed_by": placed_by, "placed_at": now}
        stores.holds.insert(tx, id=id, case_id=case_id, clear=clear, personal={"reason": reason})
        return hold

    return stores.unit_of_work.run(act)


def lift_hold(stores: Stores, *, hold_id: str) -> None:
    """Lift a hold; what it alone stood in the way of goes on."""

    def act(tx: Tx) -> None:
        record = stores.holds.get(hold_id, tx=tx)
        if record is None:
            raise NotFound("There is no such hold here.")
        case_id = str(record.case_id)
        tx.enter(case_id, frozen_too=True)
        stores.holds.remove(tx, record)
        for request in stores.requests_of(case_id, tx):
            if request.stands:
                advance(stores, tx, request)

    stores.unit_of_work.run(act)


def _standing(stores: Stores, tx: Tx, request_id: str) -> Request:
    request = stores.request(request_id, tx)
    if request is None:
        raise NotFound(NO_REQUEST)
    # Two people working one request at once conflict here, and the second reads what the first decided.
    tx.gates.touch(tx.session, request.case_id)
    if not request.stands:
        raise Conflict("This request is closed. Nothing was changed.")
    return request


def _open_request(stores: Stores, tx: Tx, request_id: str) -> Request:
    request = _standing(stores, tx, request_id)
    if request.phase not in NOT_BEGUN:
        raise Conflict(BEGUN_SENTENCE)
    return request
