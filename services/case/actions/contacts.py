"""Contacts with organisations: each rests on a consent that stood at that moment (P13)."""

from __future__ import annotations

from datetime import datetime

from services.case.actions.cases import readable, still_writable, writable
from services.case.actions.outward import CONTACT, Asks, consent_for, is_organisation
from services.case.model.cases import require_not_closed
from services.case.model.contacts import NOT_AGREED_SENTENCE, UNKNOWN_ORGANISATION_SENTENCE, Contact
from services.case.store import CaseStores
from shared.db.unit_of_work import Tx
from shared.errors import Invalid, NotFound
from shared.ids import new_id


def record_contact(
    stores: CaseStores,
    calls: Asks,
    *,
    case_id: str,
    organisation_id: str,
    purpose: str,
    summary: str,
    by: str,
    now: datetime,
) -> Contact:
    """Check, and record.

    Raises Invalid for what is no organisation, ConsentRequired, Unavailable, Conflict for a closed case (P5), and as
    the gate.
    """
    still_writable(stores, case_id=case_id, now=now)
    if not is_organisation(calls, organisation_id):
        raise Invalid(
            UNKNOWN_ORGANISATION_SENTENCE, errors={"organisation_id": ["There is no such organisation here."]}
        )
    consent_id = consent_for(
        calls, case_id=case_id, purpose=CONTACT, party=organisation_id, otherwise=NOT_AGREED_SENTENCE
    )
    contact = Contact(
        id=new_id(),
        case_id=case_id,
        organisation_id=organisation_id,
        consent_id=consent_id,
        recorded_at=now,
        recorded_by=by,
        purpose=purpose,
        summary=summary,
    )

    def act(tx: Tx) -> Contact:
        require_not_closed(writable(stores, tx, case_id, now))
        return stores.contacts.add(tx, contact)

    return stores.unit_of_work.run(act)


def list_contacts(stores: CaseStores, *, case_id: str, after: str | None, limit: int, now: datetime) -> list[Contact]:
    """Up to `limit` contacts recorded after that one. Raises NotFound or Erased."""
    found = stores.contacts.page(case_id, after=after, limit=limit)
    readable(stores, case_id=case_id, now=now)
    return found


def read_contact(stores: CaseStores, *, case_id: str, contact_id: str, now: datetime) -> Contact:
    """Raises NotFound or Erased."""
    contact = stores.contacts.get(case_id, contact_id)
    readable(stores, case_id=case_id, now=now)
    if contact is None:
        raise NotFound("No such contact is known here.")
    return contact
