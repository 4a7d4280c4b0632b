"""The people of a case: each change emits who they are, by id, and hashes anew what they are found by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from services.case.actions.access import enter_agreed_case, enter_case
from services.case.actions.cases import IfMatch
from services.case.model.cases import Case
from services.case.model.people import Person, check_kept_apart, checked, contact_of, room_for_one_more
from services.case.model.reach import reach_of, with_given
from services.case.model.safe_contact import NO
from services.case.model.search import hashes_of
from services.case.store import Stores
from shared.clock import LONDON
from shared.db.unit_of_work import Tx
from shared.errors import NotFound
from shared.events import case as events
from shared.ids import new_id

UNKNOWN_SENTENCE: Final = "No such person is known here."


def add_person(
    stores: Stores, *, case_id: str, given: Mapping[str, Any], mail_takes_utf8: bool, now: datetime
) -> Person:
    """Keep a person of the case. given: fields of `Person`. mail_takes_utf8: see `checked`.

    Raises Invalid for what can't be kept, ConsentRequired before consent (P4), Conflict when the case is full.
    """
    person_id = new_id()

    def act(tx: Tx) -> Person:
        case = enter_agreed_case(stores, case_id=case_id, now=now, tx=tx)
        fields = checked(given, today=now.astimezone(LONDON).date(), mail_takes_utf8=mail_takes_utf8)
        others = stores.people.of_case(case_id, tx=tx)
        room_for_one_more(others)
        new = with_given(Person(id=person_id, case_id=case_id, **fields), None, now=now)
        check_kept_apart(new)
        person = insert_person(stores, new, tx=tx)
        emit_people(stores, case, sorted([*others, person], key=lambda one: one.id), tx=tx)
        if person.kept_apart:
            # No post goes to their home from now on, to others of the household neither.
            emit_contact_changed(case.id, tx=tx)
        return person

    return stores.unit_of_work.run(act)


def change_person(
    stores: Stores,
    *,
    case_id: str,
    person_id: str,
    given: Mapping[str, Any],
    mail_takes_utf8: bool,
    if_match: IfMatch,
    now: datetime,
) -> Person:
    """Change what is given, and no more; None empties an optional field. Raises as `add_person`, NotFound, Changed."""

    def act(tx: Tx) -> Person:
        case = enter_agreed_case(stores, case_id=case_id, now=now, tx=tx)
        person = person_to_change(stores, case_id, person_id, if_match=if_match, tx=tx)
        today = now.astimezone(LONDON).date()
        after = replace(person, **checked(given, today=today, mail_takes_utf8=mail_takes_utf8))
        after = with_given(after, person, now=now)
        check_kept_apart(after)
        if after == person:
            return person
        after = stores.people.save(after, tx=tx)
        _make_findable(stores, after, tx=tx)
        emit_people(stores, case, stores.people.of_case(case_id, tx=tx), tx=tx)
        if contact_of(after) != contact_of(person):
            emit_contact_changed(case_id, tx=tx)
        return after

    return stores.unit_of_work.run(act)


def remove_person(stores: Stores, *, case_id: str, person_id: str, if_match: IfMatch, now: datetime) -> None:
    """Forget one person of the case; consent or not, since it leaves less. Raises NotFound, Changed."""

    def act(tx: Tx) -> None:
        case = enter_case(stores, case_id=case_id, now=now, tx=tx)
        person = person_to_change(stores, case_id, person_id, if_match=if_match, tx=tx)
        stores.people.remove(person, tx=tx)
        hashes = stores.search_hashes.get(person_id, tx=tx)
        if hashes is not None:
            stores.search_hashes.remove(hashes, tx=tx)
        emit_people(stores, case, stores.people.of_case(case_id, tx=tx), tx=tx)
        emit_contact_changed(case_id, tx=tx)

    stores.unit_of_work.run(act)


def person_to_change(stores: Stores, case_id: str, person_id: str, *, if_match: IfMatch, tx: Tx) -> Person:
    """The person as they are stored. Raises NotFound, and as `if_match` does."""
    person = stores.people.get(person_id, case_id=case_id, tx=tx)
    if person is None:
        raise NotFound(UNKNOWN_SENTENCE)
    if_match(str(person.version))
    return person


def insert_person(stores: Stores, person: Person, *, tx: Tx) -> Person:
    """Keep a new person, and the hashes that they are found by."""
    _make_findable(stores, person, tx=tx)
    return stores.people.add(person, tx=tx)


def _make_findable(stores: Stores, person: Person, *, tx: Tx) -> None:
    search_key = stores.keys.search_key(tx, person.case_id)
    stores.search_hashes.put(hashes_of(person, search_key=search_key), tx=tx)


def emit_contact_changed(case_id: str, *, tx: Tx) -> None:
    """How a person of the case may be reached was changed: an older backup of the file may say otherwise."""
    tx.emit(events.CONTACT_CHANGED, {"case": case_id})


def emit_people(stores: Stores, case: Case, people: Sequence[Person], *, tx: Tx) -> None:
    """Save the case at its next version, since its people changed, and emit all of them in order."""
    stores.cases.save(case, tx=tx)
    listed = [
        {
            "person": person.id,
            "role": person.role,
            "post": reach.post != NO,
            "email": reach.email != NO,
            "unreachable": person.safe_contact.refuses_all,
        }
        for person, reach in zip(people, reach_of(people), strict=True)
    ]
    tx.emit(events.PEOPLE, {"case": case.id, "people": listed})
