"""People, sealed, and the hashes that they are found by."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from services.case.model.people import Person
from services.case.model.safe_contact import WAYS, SafeContact
from services.case.model.search import Criterion, keys_of
from shared.db import Disposal, Record, Register
from shared.db.unit_of_work import Tx
from shared.fields import Digest, Optional


class People:
    """All that is known of a person is in `personal`."""

    def __init__(self, register: Register) -> None:
        self._store = register.collection("people", clear={}, disposal=Disposal.ERASE)

    def add(self, tx: Tx, person: Person) -> Person:
        personal = _person_personal(person)
        return _person(self._store.insert(tx, id=person.id, case_id=person.case_id, clear={}, personal=personal))

    def save(self, tx: Tx, person: Person) -> Person:
        personal = _person_personal(person)
        return _person(self._store.change(tx, _bare(person), personal=personal))

    def remove(self, tx: Tx, person: Person) -> None:
        self._store.remove(tx, _bare(person))

    def get(self, case_id: str, person_id: str, *, tx: Tx | None = None) -> Person | None:
        record = self._store.get(person_id, tx=tx)
        return None if record is None or record.case_id != case_id else _person(record)

    def of_case(self, case_id: str, *, tx: Tx | None = None) -> list[Person]:
        """In the order they were added."""
        return [_person(record) for record in self._store.of_case(case_id, tx=tx)]

    def page(self, case_id: str, *, after: str | None, limit: int) -> list[Person]:
        return [_person(record) for record in self._store.find({"case_id": case_id}, after=after, limit=limit)]

    def of_cases(self, case_ids: Sequence[str]) -> dict[str, list[Person]]:
        """By case, each in the order they were added."""
        by_case: dict[str, list[Person]] = {case_id: [] for case_id in case_ids}
        for record in self._store.find({"case_id": {"$in": list(case_ids)}}):
            by_case[str(record.case_id)].append(_person(record))
        return by_case


class SearchHashes:
    """What people are found by, hashed under the search key. Short of entropy, so it lies in the vault's database."""

    def __init__(self, register: Register, key: bytes) -> None:
        self._key = key
        self._store = register.collection(
            "search_hashes",
            clear={criterion.value: Optional(Digest()) for criterion in Criterion},
            disposal=Disposal.ERASE,
            indexes=tuple((criterion.value,) for criterion in Criterion),
            in_vault=True,
        )

    def add(self, tx: Tx, person: Person) -> None:
        """Make the row of a person who was just added, whose id it has."""
        self._store.insert(tx, id=person.id, case_id=person.case_id, clear=self._hashes(person))

    def put(self, tx: Tx, person: Person) -> None:
        """Make or change the row of this person."""
        clear = self._hashes(person)
        record = self._store.get(person.id, tx=tx)
        if record is None:
            self._store.insert(tx, id=person.id, case_id=person.case_id, clear=clear)
        else:
            self._store.change(tx, record, clear=clear)

    def remove(self, tx: Tx, person: Person) -> None:
        record = self._store.get(person.id, tx=tx)
        if record is not None:
            self._store.remove(tx, record)

    def cases(self, criterion: Criterion, key: str, *, limit: int) -> list[str]:
        """Ids of the cases of which somebody is found by that key, oldest first."""
        records = self._store.find({criterion.value: self._digest(criterion, key)}, limit=limit)
        return list(dict.fromkeys(str(record.case_id) for record in records))

    def _hashes(self, person: Person) -> dict[str, str | None]:
        found_by = keys_of(person)
        return {
            criterion.value: self._digest(criterion, found_by[criterion]) if criterion in found_by else None
            for criterion in Criterion
        }

    def _digest(self, criterion: Criterion, key: str) -> str:
        # The criterion is hashed too, so that a postcode's hash says nothing about a phone's.
        return hmac.new(self._key, f"search {criterion.value}\0{key}".encode(), "sha256").hexdigest()


def _person_personal(person: Person) -> dict[str, Any]:
    return {
        "role": person.role,
        "given_name": person.given_name,
        "family_name": person.family_name,
        "date_of_birth": person.date_of_birth.isoformat() if person.date_of_birth else None,
        "address": None if person.address is None else list(person.address),
        "email": person.email,
        "phone": person.phone,
        "parental_responsibility": person.parental_responsibility,
        "preferred_channel": person.preferred_channel,
        "formats": list(person.formats),
        "safe_contact": {
            **{way: getattr(person.safe_contact, way) for way in WAYS},
            "asked_at": person.safe_contact.asked_at and person.safe_contact.asked_at.isoformat(),
        },
        "kept_apart": person.kept_apart,
    }


def _person(record: Record) -> Person:
    kept = dict(record.personal)
    born, address = kept.pop("date_of_birth"), kept.pop("address")
    safe = dict(kept.pop("safe_contact"))
    asked_at = safe.pop("asked_at")
    return Person(
        id=record.id,
        case_id=str(record.case_id),
        version=record.version,
        date_of_birth=date.fromisoformat(born) if born else None,
        address=None if address is None else tuple(address),
        formats=tuple(kept.pop("formats")),
        safe_contact=SafeContact(**safe, asked_at=datetime.fromisoformat(asked_at) if asked_at else None),
        **kept,
    )


def _bare(person: Person) -> Record:
    return Record(id=person.id, case_id=person.case_id, version=person.version, clear={}, personal={})
