"""Shells and cases: begin, read, end, and move from state to state."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, TypeVar

from services.case.model import cases as model
from services.case.model.cases import Case, CaseView
from services.case.model.references import ReferenceTaken, new_reference
from services.case.store import CaseStores
from shared.db.gates import CLOSED, ERASED_SENTENCE, FROZEN, FROZEN_SENTENCE, UNKNOWN_SENTENCE
from shared.db.unit_of_work import Tx
from shared.erasure.participant import END_STEP
from shared.errors import Conflict, Erased, Frozen, NotFound, Unavailable
from shared.events import case as events
from shared.ids import new_id

T = TypeVar("T")
#: Raises PreconditionRequired or Changed unless the caller read the version with this ETag.
IfMatch = Callable[[str], None]
_DRAWS: Final = 8
_SWEPT_AT_ONCE: Final = 500


def start_case(stores: CaseStores, *, channel: str, life: timedelta, now: datetime) -> CaseView:
    """Make a shell that expires after `life` unless the family agrees (P4)."""
    case_id = new_id()
    # Gate and key are made together, before any writer could want them.
    stores.unit_of_work.gates.make(stores.vault, [case_id])

    def begin(shell: Case) -> CaseView:
        def act(tx: Tx) -> CaseView:
            tx.enter(case_id)
            return CaseView(case=begin_shell(stores, tx, shell), people=(), frozen=False)

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


def begin_shell(stores: CaseStores, tx: Tx, shell: Case) -> Case:
    """Keep it, and tell everyone; the caller went through the gate. Raises ReferenceTaken."""
    case = stores.cases.add(tx, shell)
    tx.emit(
        events.CREATED,
        {"case": case.id, "state": case.state, "expires_at": (case.expires_at or tx.now).isoformat()},
    )
    return case


def read_case(stores: CaseStores, *, case_id: str, now: datetime) -> CaseView:
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


def list_cases(
    stores: CaseStores, *, state: str | None, after: str | None, limit: int, now: datetime
) -> list[CaseView]:
    """Up to `limit` cases whose id is above `after`, oldest first; none that has ended or is being erased."""
    found: list[CaseView] = []
    while len(found) < limit:
        wanted = limit - len(found)
        cases = stores.cases.find(state=state, now=now, after=after, limit=wanted)
        people = stores.people.of_cases([case.id for case in cases])
        gates = stores.gates_of([case.id for case in cases])
        stopped = stores.stops.of_cases([case.id for case in cases])
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


def end_shell(stores: CaseStores, *, case_id: str) -> None:
    """End a shell: declined or expired, it is the same (P8). Nothing to do for one that has ended.

    Raises NotFound, or Conflict for a case that is no shell.
    """

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
        tx.emit(events.ENDED, {"case": case_id})
        stores.steps.add(tx, END_STEP, case_id, case_id)

    stores.unit_of_work.run(act)


def end_expired_shells(stores: CaseStores, *, now: datetime) -> int:
    """End the shells whose time is over; how many there were."""
    ended = 0
    for case_id in stores.cases.expired_shells(now - model.SWEEP_GRACE, limit=_SWEPT_AT_ONCE):
        try:
            end_shell(stores, case_id=case_id)
        except (Conflict, NotFound):
            # Agreed to, or gone, since it was looked up.
            continue
        ended += 1
    return ended


def count_expired_shells(stores: CaseStores, *, now: datetime) -> int:
    """How many `end_expired_shells` would look at."""
    return len(stores.cases.expired_shells(now - model.SWEEP_GRACE, limit=_SWEPT_AT_ONCE))


def set_state(
    stores: CaseStores, *, case_id: str, state: str, by_manager: bool, if_match: IfMatch, now: datetime
) -> CaseView:
    """Put the case into another state (P9, P20). Raises as `moved`, `writable` and `if_match` do."""

    def act(tx: Tx) -> CaseView:
        case = writable(stores, tx, case_id, now)
        if_match(model.etag_of(case, frozen=False))
        after = model.moved(
            case,
            state,
            by_manager=by_manager,
            casework_stands=stores.projections.get(case_id, tx=tx).casework_stands(now),
            has_outcome=stores.entries.has_outcome(case_id, tx=tx),
        )
        if after != case:
            after = stores.cases.save(tx, after)
            tx.emit(events.STATE, {"case": case_id, "state": after.state})
        stopped = stores.stops.get(case_id, tx=tx) is not None
        people = stores.people.of_case(case_id, tx=tx)
        return CaseView(case=after, people=people, frozen=False, contact_stopped=stopped)

    return stores.unit_of_work.run(act)


def writable(stores: CaseStores, tx: Tx, case_id: str, now: datetime) -> Case:
    """Go through the case's gate as a writer. Raises NotFound, Frozen, or Erased for one that has ended too."""
    tx.enter(case_id)
    case = stores.cases.get(case_id, tx=tx)
    if case is None:
        raise NotFound(UNKNOWN_SENTENCE)
    if case.has_expired(now):
        raise Erased(ERASED_SENTENCE)
    return case


def agreed_to(stores: CaseStores, tx: Tx, case_id: str, now: datetime) -> Case:
    """As `writable`, for what is personal: raises ConsentRequired too, unless casework stands (P4)."""
    case = writable(stores, tx, case_id, now)
    stores.projections.get(case_id, tx=tx).require_casework(now)
    return case


def still_writable(stores: CaseStores, *, case_id: str, now: datetime) -> None:
    """What the case itself refuses, said before others are asked on its behalf. Raises NotFound, Frozen or Erased."""
    readable(stores, case_id=case_id, now=now)
    if stores.unit_of_work.gates.state(case_id) == FROZEN:
        raise Frozen(FROZEN_SENTENCE)


def readable(stores: CaseStores, *, case_id: str, now: datetime) -> None:
    """For reading what a case has. Raises NotFound or Erased."""
    case = stores.cases.get(case_id)
    gate = stores.unit_of_work.gates.state(case_id)
    if gate == CLOSED or (case is not None and case.has_expired(now)):
        raise Erased(ERASED_SENTENCE)
    if case is None:
        raise NotFound(UNKNOWN_SENTENCE)
