"""Shells and cases: begin, read, end, and move from state to state."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, TypeVar

from services.case.actions.access import enter_case, known_consents, require_readable
from services.case.context import Context
from services.case.model import cases as model
from services.case.model.cases import Case, CaseView
from services.case.model.entries import OUTCOME
from services.case.model.references import ReferenceTaken, new_reference
from services.case.store import Stores
from services.case.store.queries import (
    add_case,
    expired_shells,
    last_recorded_at,
    open_gates,
    page_of_cases,
    people_by_case,
)
from shared.clock import utc_now
from shared.db.gates import CLOSED, ERASED_SENTENCE, FROZEN, UNKNOWN_SENTENCE
from shared.db.unit_of_work import Tx
from shared.erasure.participant import END_STEP
from shared.errors import Conflict, Erased, NotFound, Unavailable
from shared.events import case as events
from shared.ids import new_id
from shared.known_consents import CASEWORK

T = TypeVar("T")
#: Raises PreconditionRequired or Changed unless the caller read the version with this ETag.
IfMatch = Callable[[str], None]
_DRAWS: Final = 8
_SWEPT_AT_ONCE: Final = 500


def start_case(stores: Stores, *, channel: str, life: timedelta, now: datetime) -> CaseView:
    """Make a shell that expires after `life` unless the family agrees (P4)."""
    case_id = new_id()

    def begin(shell: Case) -> CaseView:
        def act(tx: Tx) -> CaseView:
            tx.open_gate(case_id)
            return CaseView(case=begin_shell(stores, shell, tx=tx), people=(), frozen=False)

        return stores.unit_of_work.run(act)

    return draw_shell(begin, id=case_id, channel=channel, life=life, now=now)


def draw_shell(begin: Callable[[Case], T], *, id: str, channel: str, life: timedelta, now: datetime) -> T:
    """What `begin` makes of a new shell, whose reference is drawn again while another case has it.

    Raises Unavailable where none was free.
    """
    for _ in range(_DRAWS):
        shell = model.new_shell(id=id, reference=new_reference(), channel=channel, life=life, now=now)
        try:
            return begin(shell)
        except ReferenceTaken:
            continue
    raise Unavailable("No free reference was drawn. Nothing was stored; try again.")


def begin_shell(stores: Stores, shell: Case, *, tx: Tx) -> Case:
    """Keep the shell and emit it; the caller went through the gate. Raises ReferenceTaken."""
    case = add_case(stores.cases, shell, tx=tx)
    tx.emit(
        events.CREATED,
        {"case": case.id, "state": case.state, "expires_at": (case.expires_at or tx.now).isoformat()},
    )
    return case


def read_case(stores: Stores, *, case_id: str, now: datetime) -> CaseView:
    """The case with its people. Raises NotFound, or Erased for one that has ended or is being erased."""
    case = stores.cases.get(case_id)
    people = stores.people.of_case(case_id) if case is not None else []
    stopped = case is not None and stores.stops.get(case_id) is not None
    # Looked at last: an erasure that began in the meantime must not be answered with half a case.
    gate = stores.unit_of_work.gates.state(case_id)
    if gate == CLOSED:
        raise Erased(ERASED_SENTENCE)
    if case is None or gate is None:
        raise NotFound(UNKNOWN_SENTENCE)
    if case.has_expired(now):
        raise Erased(ERASED_SENTENCE)
    return CaseView(case=case, people=people, frozen=gate == FROZEN, contact_stopped=stopped)


def list_cases(stores: Stores, *, state: str | None, after: str | None, limit: int, now: datetime) -> list[CaseView]:
    """Up to `limit` cases whose id is above `after`, oldest first; none that has ended or is being erased."""
    found: list[CaseView] = []
    while len(found) < limit:
        wanted = limit - len(found)
        cases = page_of_cases(stores.cases, state=state, now=now, after=after, limit=wanted)
        case_ids = [case.id for case in cases]
        people = people_by_case(stores.people, case_ids)
        gates = open_gates(stores.unit_of_work, case_ids)
        stopped = {stop.case_id for stop in stores.stops.find({"_id": {"$in": case_ids}})}
        found += [
            CaseView(
                case=case,
                people=people[case.id],
                frozen=gates[case.id] == FROZEN,
                contact_stopped=case.id in stopped,
            )
            for case in cases
            if case.id in gates
        ]
        if len(cases) < wanted:
            break
        after = cases[-1].id
    return found


def end_shell(context: Context, *, case_id: str, grant: str) -> None:
    """End a shell: declined or expired, it is the same (P8). Nothing to do for one that has ended.

    grant: the consent service's, that no one agreed to it. Raises NotFound, Conflict for a case that is no shell, or
    Permanent without such a grant.
    """
    stores = context.stores
    context.grants.require_ending(grant, case_id=case_id, now=utc_now())

    def act(tx: Tx) -> None:
        if tx.gates.state(case_id, tx.session) == CLOSED:
            return
        tx.enter(case_id, frozen_too=True)
        case = stores.cases.get(case_id, tx=tx)
        if case is None:
            raise NotFound(UNKNOWN_SENTENCE)
        if case.state != model.SHELL:
            raise Conflict("The family has agreed to this case: it doesn't end as a shell does. Nothing was changed.")
        tx.gates.close(tx.session, case_id)
        tx.emit(events.ENDED, {"case": case_id, "grant": grant})
        stores.steps.add(tx, END_STEP, case_id, case_id)

    stores.unit_of_work.run(act)


def end_expired_shells(context: Context, now: datetime) -> int:
    """End the shells whose time is over; how many there were. Raises Unavailable while the consent service is away."""
    ended = 0
    for case_id in _expired_shells(context, now):
        try:
            grant = context.calls.post("consent", f"/ending-grants/{case_id}", {})["grant"]
            end_shell(context, case_id=case_id, grant=grant)
        except (Conflict, NotFound):
            # Agreed to, or gone, since it was looked up.
            continue
        ended += 1
    return ended


def count_expired_shells(context: Context, now: datetime) -> int:
    """How many shells `end_expired_shells` would try to end."""
    return len(_expired_shells(context, now))


def _expired_shells(context: Context, now: datetime) -> list[str]:
    return expired_shells(context.stores.cases, now - model.SWEEP_GRACE, limit=_SWEPT_AT_ONCE)


def last_entry_at(stores: Stores, *, case_id: str, now: datetime) -> datetime | None:
    """When the case's last entry was recorded; None where there is none. Raises NotFound or Erased."""
    require_readable(stores, case_id=case_id, now=now)
    return last_recorded_at(stores.entries, case_id)


def set_state(
    stores: Stores, *, case_id: str, state: str, by_manager: bool, if_match: IfMatch, now: datetime
) -> CaseView:
    """Put the case into another state (P9, P20). Raises as `moved`, `enter_case` and `if_match` do."""

    def act(tx: Tx) -> CaseView:
        case = enter_case(stores, case_id=case_id, now=now, tx=tx)
        if_match(model.etag_of(case, frozen=False))
        after = model.moved(
            case,
            state,
            by_manager=by_manager,
            casework_stands=known_consents(stores, case_id, tx=tx).allow(CASEWORK, now),
            has_outcome=stores.entries.exists({"case_id": case_id, "kind": OUTCOME}, tx=tx),
        )
        if after != case:
            after = stores.cases.save(after, tx=tx)
            tx.emit(events.STATE, {"case": case_id, "state": after.state})
        stopped = stores.stops.get(case_id, tx=tx) is not None
        people = stores.people.of_case(case_id, tx=tx)
        return CaseView(case=after, people=people, frozen=False, contact_stopped=stopped)

    return stores.unit_of_work.run(act)
