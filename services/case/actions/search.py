"""Finding a case by what a family says of itself."""

from __future__ import annotations

from datetime import date, datetime

from services.case.model import search as model
from services.case.model.cases import Case
from services.case.model.references import read_reference
from services.case.model.search import Criterion, Found
from services.case.store import CaseStores

REFERENCE = "reference"


def by_reference(stores: CaseStores, *, reference: str, now: datetime) -> list[Found]:
    """The case of that reference, however it was written down."""
    written = read_reference(reference)
    case = None if written is None else stores.cases.by_reference(written)
    return _found(stores, [] if case is None else [case], REFERENCE, now)


def by_name(stores: CaseStores, *, family_name: str, date_of_birth: date, now: datetime) -> list[Found]:
    """Raises Invalid when the name has neither letter nor digit."""
    return _by(stores, Criterion.FAMILY_NAME, model.name_key(family_name, date_of_birth), now)


def by_postcode(stores: CaseStores, *, postcode: str, now: datetime) -> list[Found]:
    return _by(stores, Criterion.POSTCODE, model.text_key(postcode), now)


def by_email(stores: CaseStores, *, email: str, now: datetime) -> list[Found]:
    return _by(stores, Criterion.EMAIL, model.text_key(email), now)


def by_phone(stores: CaseStores, *, phone: str, now: datetime) -> list[Found]:
    """Nothing is found by what can't be a phone number."""
    key = model.phone_key(phone)
    return [] if key is None else _by(stores, Criterion.PHONE, key, now)


def _by(stores: CaseStores, criterion: Criterion, key: str | None, now: datetime) -> list[Found]:
    if key is None:
        raise model.nothing_to_compare(criterion.value)
    case_ids = stores.search_hashes.cases(criterion, key, limit=model.MAX_FOUND)
    return _found(stores, stores.cases.of_ids(case_ids), criterion.value, now)


def _found(stores: CaseStores, cases: list[Case], matched: str, now: datetime) -> list[Found]:
    """Without what has ended or is being erased; first those in which somebody is kept apart."""
    gates = stores.gates_of([case.id for case in cases])
    people = stores.people.of_cases([case.id for case in cases])
    found = [
        Found(
            case_id=case.id,
            reference=case.reference,
            state=case.state,
            matched=matched,
            kept_apart=any(person.kept_apart for person in people[case.id]),
        )
        for case in cases
        if case.id in gates and not case.has_expired(now)
    ]
    return sorted(found, key=lambda one: not one.kept_apart)
