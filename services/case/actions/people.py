"""The people of a case: each change tells the others who they are by id, and what finds them is hashed anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from services.case.actions.cases import IfMatch, agreed_to, readable, writable
from services.case.model.cases import Case
from services.case.model.people import Person, check_kept_apart, checked, room_for_one_more
from services.case.model.safe_contact import email_reaches, post_reaches, with_given
from services.case.store import CaseStores
from shared.clock import LONDON
from shared.db.unit_of_work import Tx
from shared.errors import NotFound
from shared.events import case as events
from shared.ids import new_id

_UNKNOWN = "No such person is known here."


def add_person(stores: CaseStores, *, case_id: str, given: Mapping[str, Any], now: datetime) -> Person:
    """Keep somebody of the case. given: fields of `Person`.

    Raises Invalid for what can't be kept, ConsentRequired before consent (P4), Conflict when the case is full.
    """
    person_id = new_id()

    def act(tx: Tx) -> Person:
        case = agreed_to(stores, tx, case_id, now)
        fields = checked(given, today=now.astimezone(LONDON).date())
        others = stores.people.of_case(case_id, tx=tx)
        room_for_one_more(others)
        new = with_given(Person(id=person_id, case_id=case_id, **fields), None, now=now)
        check_kept_apart(new)
        person = stores.people.add(tx, new)
        stores.search_hashes.add(tx, person)
        tell_people(stores, tx, case, sorted([*others, person], key=lambda one: one.id))
        return person

    return stores.unit_of_work.run(act)


def change_person(
    stores: CaseStores, *, case_id: str, person_id: str, given: Mapping[str, Any], if_match: IfMatch, now: datetime
) -> Person:
    """Change what is given, and no more; None empties an optional field. Raises as `add_person`, NotFound, Changed."""

    def act(tx: Tx) -> Person:
        case = agreed_to(stores, tx, case_id, now)
        person = of_case(stores.people.get(case_id, person_id, tx=tx))
        if_match(str(person.version))
        after = replace(person, **checked(given, today=now.astimezone(LONDON).date()))
        after = with_given(after, person, now=now)
        check_kept_apart(after)
        if after == person:
            return person
        after = stores.people.save(tx, after)
        stores.search_hashes.put(tx, after)
        tell_people(stores, tx, case, stores.people.of_case(case_id, tx=tx))
        return after

    return stores.unit_of_work.run(act)


def remove_person(stores: CaseStores, *, case_id: str, person_id: str, if_match: IfMatch, now: datetime) -> None:
    """Forget one person of the case; consent or not, since it leaves less. Raises NotFound, Changed."""

    def act(tx: Tx) -> None:
        case = writable(stores, tx, case_id, now)
        person = of_case(stores.people.get(case_id, person_id, tx=tx))
        if_match(str(person.version))
        stores.people.remove(tx, person)
        stores.search_hashes.remove(tx, person)
        tell_people(stores, tx, case, stores.people.of_case(case_id, tx=tx))

    stores.unit_of_work.run(act)


def read_person(stores: CaseStores, *, case_id: str, person_id: str, now: datetime) -> Person:
    """Raises NotFound or Erased."""
    person = stores.people.get(case_id, person_id)
    readable(stores, case_id=case_id, now=now)
    return of_case(person)


def list_people(stores: CaseStores, *, case_id: str, after: str | None, limit: int, now: datetime) -> list[Person]:
    """Up to `limit` people added after that one. Raises NotFound or Erased."""
    people = stores.people.page(case_id, after=after, limit=limit)
    readable(stores, case_id=case_id, now=now)
    return people


def of_case(person: Person | None) -> Person:
    if person is None:
        raise NotFound(_UNKNOWN)
    return person


def tell_people(stores: CaseStores, tx: Tx, case: Case, everybody: Sequence[Person]) -> None:
    """The case's people changed: its version with them, and the others hear of everybody in order."""
    stores.cases.save(tx, case)
    told = [
        {
            "person": person.id,
            "role": person.role,
            "post": post_reaches(person, everybody),
            "email": email_reaches(person),
            "unreachable": person.safe_contact.refuses_all,
        }
        for person in everybody
    ]
    tx.emit(events.PEOPLE, {"case": case.id, "people": told})
