"""Safe contact: the ways somebody may be reached, and stopping all of them. Both stay changeable while frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from services.case.actions.cases import IfMatch, readable
from services.case.actions.people import of_case, tell_people
from services.case.model.cases import SHELL, Case
from services.case.model.consents import NO_CONSENT_SENTENCE
from services.case.model.people import Person
from services.case.model.safe_contact import Stop, asked, check_somebody_is_left
from services.case.store import CaseStores
from shared.db.gates import ERASED_SENTENCE, UNKNOWN_SENTENCE
from shared.db.unit_of_work import Tx
from shared.errors import ConsentRequired, Erased, NotFound
from shared.events import case as events


def set_safe_contact(
    stores: CaseStores, *, case_id: str, person_id: str, said: Mapping[str, Any], if_match: IfMatch, now: datetime
) -> Person:
    """Keep what this person said of each way, the whole of it: a way that isn't named wasn't asked about (P18).

    Raises Invalid for a time to come or for the only person refusing every way, NotFound, Erased, Changed.
    """
    safe = asked(said, now=now)

    def act(tx: Tx) -> Person:
        case = _entered(stores, tx, case_id, now)
        person = of_case(stores.people.get(case_id, person_id, tx=tx))
        if_match(str(person.version))
        after = replace(person, safe_contact=safe)
        if after == person:
            return person
        check_somebody_is_left(stores.people.of_case(case_id, tx=tx), after)
        after = stores.people.save(tx, after)
        tell_people(stores, tx, case, stores.people.of_case(case.id, tx=tx))
        return after

    return stores.unit_of_work.run(act)


def stop_all(stores: CaseStores, *, case_id: str, reason: str, words: str | None, by: str, now: datetime) -> Stop:
    """Stop all contact with the family: what is queued is cancelled, and silence doesn't count. Again: the reason anew.

    Raises NotFound, Erased, or ConsentRequired for a shell, which has nobody to stop writing to.
    """
    stop = Stop(case_id=case_id, reason=reason, words=words, by=by, at=now)

    def act(tx: Tx) -> Stop:
        case = _entered(stores, tx, case_id, now)
        stores.stops.put(tx, stop)
        _tell(stores, tx, case, stopped=True)
        return stop

    return stores.unit_of_work.run(act)


def lift_stop(stores: CaseStores, *, case_id: str, now: datetime) -> None:
    """Contact may go on. Raises NotFound where none was stopped, and Erased."""

    def act(tx: Tx) -> None:
        case = _entered(stores, tx, case_id, now)
        if not stores.stops.remove(tx, case_id):
            raise NotFound("Contact with this family isn't stopped. Nothing was changed.")
        _tell(stores, tx, case, stopped=False)

    stores.unit_of_work.run(act)


def read_stop(stores: CaseStores, *, case_id: str, now: datetime) -> Stop:
    """Raises NotFound where none was stopped, and Erased."""
    stop = stores.stops.get(case_id)
    readable(stores, case_id=case_id, now=now)
    if stop is None:
        raise NotFound("Contact with this family isn't stopped.")
    return stop


def _entered(stores: CaseStores, tx: Tx, case_id: str, now: datetime) -> Case:
    """As a writer, also while frozen: who can be harmed by a letter doesn't wait for a request to end."""
    tx.enter(case_id, frozen_too=True)
    case = stores.cases.get(case_id, tx=tx)
    if case is None:
        raise NotFound(UNKNOWN_SENTENCE)
    if case.has_expired(now):
        raise Erased(ERASED_SENTENCE)
    if case.state == SHELL:
        raise ConsentRequired(NO_CONSENT_SENTENCE)
    return case


def _tell(stores: CaseStores, tx: Tx, case: Case, *, stopped: bool) -> None:
    stores.cases.save(tx, case)
    tx.emit(events.STOPPED, {"case": case.id, "stopped": stopped})
