"""Finding a case by what a family says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from services.case.context import Context
from services.case.model.cases import Case
from services.case.model.references import read_reference
from services.case.model.search import (
    Criterion,
    Found,
    email_key,
    has_email,
    name_key,
    nothing_to_compare,
    older_email_keys,
    phone_key,
    text_key,
)
from services.case.store import Stores
from services.case.store.queries import cases_by_hash, open_gates, people_by_case, rehash_in
from shared.db.keys.rotation import Rehash

_REFERENCE: Final = "reference"


def find_cases(stores: Stores, *, given: Mapping[str, Any], now: datetime) -> list[Found]:
    """Cases by the one thing that was given: a reference however it was written down, or a criterion's fields.

    Raises Invalid when there is neither letter nor digit in it. A number that can't be a phone's finds nothing.
    """
    match given:
        case {"reference": text}:
            reference = read_reference(text)
            cases = [] if reference is None else stores.cases.find({"reference": reference})
            return _found(stores, cases, _REFERENCE, now)
        case {"family_name": name, "date_of_birth": born}:
            criterion, key = Criterion.FAMILY_NAME, name_key(name, born)
        case {"postcode": postcode}:
            criterion, key = Criterion.POSTCODE, text_key(postcode)
        case {"email": email}:
            return _by_email(stores, email, now)
        case _:
            criterion, key = Criterion.PHONE, phone_key(given["phone"])
            if key is None:
                return []
    if key is None:
        raise nothing_to_compare(criterion.value)
    case_ids = cases_by_hash(stores, criterion, key)
    return _found(stores, stores.cases.find({"_id": {"$in": list(case_ids)}}), criterion.value, now)


def _by_email(stores: Stores, email: str, now: datetime) -> list[Found]:
    """Also by what older versions hashed it by, which two domains may share: so the people's own addresses decide."""
    key = email_key(email)
    if key is None:
        raise nothing_to_compare(Criterion.EMAIL.value)
    case_ids = cases_by_hash(stores, Criterion.EMAIL, key, *older_email_keys(email))
    people = people_by_case(stores.people, list(case_ids))
    theirs = [case_id for case_id in case_ids if has_email(people[case_id], key)]
    return _found(stores, stores.cases.find({"_id": {"$in": theirs}}), Criterion.EMAIL.value, now)


def rehash(context: Context) -> Rehash:
    """What a rotation of the key tree does with the search hashes."""
    return rehash_in(context.stores.search_hashes)


def _found(stores: Stores, cases: list[Case], matched: str, now: datetime) -> list[Found]:
    """Without cases that have ended or are being erased; first those in which a person is kept apart."""
    gates = open_gates(stores.unit_of_work, [case.id for case in cases])
    people = people_by_case(stores.people, [case.id for case in cases])
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
