"""Contacts and disclosures: words and recipients sealed; ids, basis and times clear. Both go with their case."""

from __future__ import annotations

from services.case.model.contacts import Contact
from services.case.model.disclosures import BASES, SAFEGUARDING, Disclosure
from shared.db import Disposal, Record, Register
from shared.db.unit_of_work import Tx
from shared.fields import Flag, Id, Optional, Subject, Time, one_of


class Contacts:
    """Which organisation, and on which consent, is clear; what for and what was said is sealed."""

    def __init__(self, register: Register) -> None:
        self._store = register.collection(
            "contacts",
            clear={"organisation_id": Id(), "consent_id": Id(), "recorded_at": Time(), "recorded_by": Subject()},
            disposal=Disposal.ERASE,
        )

    def add(self, tx: Tx, contact: Contact) -> Contact:
        clear = {
            "organisation_id": contact.organisation_id,
            "consent_id": contact.consent_id,
            "recorded_at": contact.recorded_at,
            "recorded_by": contact.recorded_by,
        }
        personal = {"purpose": contact.purpose, "summary": contact.summary}
        return _contact(self._store.insert(tx, id=contact.id, case_id=contact.case_id, clear=clear, personal=personal))

    def get(self, case_id: str, contact_id: str) -> Contact | None:
        record = self._store.get(contact_id)
        return None if record is None or record.case_id != case_id else _contact(record)

    def page(self, case_id: str, *, after: str | None, limit: int) -> list[Contact]:
        return [_contact(record) for record in self._store.find({"case_id": case_id}, after=after, limit=limit)]


class Disclosures:
    """The register of P14. On what basis and consent is clear; to whom and what is sealed."""

    def __init__(self, register: Register) -> None:
        self._store = register.collection(
            "disclosures",
            clear={
                "basis": one_of(*(basis for basis in BASES if basis != SAFEGUARDING)),
                "consent_id": Optional(Id()),
                "party": Optional(Id()),
                "told_family": Optional(Flag()),
                "recorded_at": Time(),
                "recorded_by": Subject(),
            },
            disposal=Disposal.ERASE,
        )

    def add(self, tx: Tx, made: Disclosure) -> Disclosure:
        clear = {
            "basis": made.basis,
            "consent_id": made.consent_id,
            "party": made.party,
            "told_family": made.told_family,
            "recorded_at": made.recorded_at,
            "recorded_by": made.recorded_by,
        }
        personal = {
            "recipient": made.recipient,
            "what": made.what,
            "reason": made.reason,
            "order": made.order,
            "issuer": made.issuer,
            "scope": made.scope,
        }
        return _disclosure(self._store.insert(tx, id=made.id, case_id=made.case_id, clear=clear, personal=personal))

    def get(self, case_id: str, disclosure_id: str) -> Disclosure | None:
        record = self._store.get(disclosure_id)
        return None if record is None or record.case_id != case_id else _disclosure(record)

    def page(self, case_id: str, *, after: str | None, limit: int) -> list[Disclosure]:
        return [_disclosure(record) for record in self._store.find({"case_id": case_id}, after=after, limit=limit)]


def _contact(record: Record) -> Contact:
    return Contact(id=record.id, case_id=str(record.case_id), version=record.version, **record.clear, **record.personal)


def _disclosure(record: Record) -> Disclosure:
    return Disclosure(
        id=record.id, case_id=str(record.case_id), version=record.version, **record.clear, **record.personal
    )
