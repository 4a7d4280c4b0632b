"""Contacts with organisations: each rests on a consent that stood at that moment (P13)."""

from __future__ import annotations

from datetime import datetime

from services.case.actions.access import enter_case, require_writable
from services.case.actions.outward import CONTACT, consent_for, is_organisation
from services.case.context import Context
from services.case.model.cases import require_not_closed
from services.case.model.contacts import NOT_AGREED_SENTENCE, UNKNOWN_ORGANISATION_SENTENCE, Contact
from shared.db.unit_of_work import Tx
from shared.errors import Invalid
from shared.ids import new_id


def record_contact(
    context: Context, *, case_id: str, organisation_id: str, purpose: str, summary: str, by: str, now: datetime
) -> Contact:
    """Record a contact, once the consent service has said that it is allowed.

    Raises Invalid for an organisation that isn't entered, ConsentRequired, Unavailable, Conflict for a closed case
    (P5), and as the gate.
    """
    stores, calls = context.stores, context.calls
    require_writable(stores, case_id=case_id, now=now)
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
        require_not_closed(enter_case(stores, case_id=case_id, now=now, tx=tx))
        return stores.contacts.add(contact, tx=tx)

    return stores.unit_of_work.run(act)
