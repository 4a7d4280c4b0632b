"""Safe contact: the ways in which a person may be reached, and stopping all of them; also while the case is frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from services.case.actions.access import enter_case, read_one
from services.case.actions.cases import IfMatch
from services.case.actions.people import emit_contact_changed, emit_people, person_to_change
from services.case.model.cases import SHELL, Case
from services.case.model.people import Person
from services.case.model.reach import check_a_way_is_left
from services.case.model.safe_contact import Stop, safe_contact_from
from services.case.store import Stores
from shared.db.unit_of_work import Tx
from shared.errors import ConsentRequired, NotFound
from shared.events import case as events
from shared.known_consents import NO_CONSENT_SENTENCE

_NOT_STOPPED: Final = "Contact with this family isn't stopped."


def set_safe_contact(
    stores: Stores, *, case_id: str, person_id: str, given: Mapping[str, Any], if_match: IfMatch, now: datetime
) -> Person:
    """Keep what this person said of each way, the whole of it: a way that isn't named wasn't asked about (P18).

    Raises Invalid for a time to come or for the only person refusing every way, NotFound, Erased, Changed.
    """
    safe = safe_contact_from(given, now=now)

    def act(tx: Tx) -> Person:
        case = _enter(stores, case_id, now, tx=tx)
        person = person_to_change(stores, case_id, person_id, if_match=if_match, tx=tx)
        after = replace(person, safe_contact=safe)
        if after == person:
            return person
        check_a_way_is_left(stores.people.of_case(case_id, tx=tx), after)
        after = stores.people.save(after, tx=tx)
        emit_people(stores, case, stores.people.of_case(case_id, tx=tx), tx=tx)
        emit_contact_changed(case_id, tx=tx)
        return after

    return stores.unit_of_work.run(act)


def stop_all(stores: Stores, *, case_id: str, reason: str, words: str | None, by: str, now: datetime) -> Stop:
    """Stop all contact with the family: what is queued is cancelled, and an unanswered review doesn't count.

    Where it is stopped already, the reason is replaced. Raises NotFound, Erased, or ConsentRequired for a shell, in
    which there is no one to stop writing to.
    """
    stop = Stop(case_id=case_id, reason=reason, words=words, by=by, at=now)

    def act(tx: Tx) -> Stop:
        case = _enter(stores, case_id, now, tx=tx)
        before = stores.stops.get(case_id, tx=tx)
        if before is None:
            stores.stops.add(stop, tx=tx)
            emit_contact_changed(case_id, tx=tx)
        else:
            stores.stops.save(replace(stop, version=before.version), tx=tx)
        emit_stopped(stores, case, stopped=True, tx=tx)
        return stop

    return stores.unit_of_work.run(act)


def lift_stop(stores: Stores, *, case_id: str, now: datetime) -> None:
    """Contact may go on. Raises NotFound where none was stopped, and Erased."""

    def act(tx: Tx) -> None:
        case = _enter(stores, case_id, now, tx=tx)
        stop = stores.stops.get(case_id, tx=tx)
        if stop is None:
            raise NotFound(f"{_NOT_STOPPED} Nothing was changed.")
        stores.stops.remove(stop, tx=tx)
        emit_stopped(stores, case, stopped=False, tx=tx)

    stores.unit_of_work.run(act)


def read_stop(stores: Stores, *, case_id: str, now: datetime) -> Stop:
    """Raises NotFound where none was stopped, and Erased."""
    return read_one(stores, stores.stops, case_id=case_id, id=case_id, otherwise=_NOT_STOPPED, now=now)


def _enter(stores: Stores, case_id: str, now: datetime, *, tx: Tx) -> Case:
    """As a writer, also while frozen: a person whom a letter could harm can't wait until a request ends."""
    case = enter_case(stores, case_id=case_id, now=now, tx=tx, frozen_too=True)
    if case.state == SHELL:
        raise ConsentRequired(NO_CONSENT_SENTENCE)
    return case


def emit_stopped(stores: Stores, case: Case, *, stopped: bool, tx: Tx) -> None:
    """Save the case at its next version, and say that contact has stopped, or goes on."""
    stores.cases.save(case, tx=tx)
    tx.emit(events.STOPPED, {"case": case.id, "stopped": stopped})
