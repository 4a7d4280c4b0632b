"""The receipt of a consent: what was agreed to, in the shape of ISO/IEC TS 27560 and the Kantara consent receipt.

docs/consent-receipt.schema.json describes it; its names are those of the specification, in snake case.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.consent.model.consents import Consent, Grant
from services.consent.model.histories import Happening, history
from services.consent.model.organisations import Organisation
from services.consent.store import Stores, queries
from shared.office import Office
from shared.uk.working_days import end_of_day, london_day

CONSENT_RECEIPT_TYPE = "fmn-consent-receipt"
SCHEMA_VERSION = "fmn-consent-receipt/1 (ISO/IEC TS 27560:2023)"
LAWFUL_BASIS = "explicit consent: UK GDPR Art. 6(1)(a) and Art. 9(2)(a)"
_PURPOSES = {
    "casework": "To keep a case file: what you want, what we do, what came of it, and the papers that it needs.",
    "contact": "To contact this party for you.",
    "obtain_documents": "To obtain copies of documents from this party.",
    "share": "To share what the file holds with this party.",
    "email": "To write to you by email.",
}
_INFORMATION = ("names", "address", "date of birth", "contact details", "casework notes", "documents")
_STORAGE = "Encrypted under a key of this case, in databases and files that the controller or its processors run."
_RETENTION = (
    "Until this is withdrawn or the file is erased. Once a year we write to ask; without an answer the file is erased."
)
_RIGHTS = (
    "Ask at any time, spoken or written, to see what is held, to correct it, or to have it erased; complain to the "
    "Information Commissioner's Office."
)


def consent_receipt(stores: Stores, given: Consent, *, office: Office, now: datetime) -> dict[str, Any]:
    """The whole receipt as of now, as JSON. What it names are ids, the office, organisations, and who gave it.

    A party that is no organisation is a person of the case, of whom this service knows the id alone.
    """
    today = london_day(now)
    happened = history(given, stores.endings.of_case(given.case_id), today=today)
    standing = {s.grant for s in queries.standing(stores, given.case_id, today) if s.consent_id == given.id}
    parties = dict.fromkeys(grant.party for grant in given.grants if grant.party is not None)
    contact = {"phone": office.phone, "email": office.email, "address": list(office.address)}
    return {
        "schema_version": SCHEMA_VERSION,
        "record_id": given.id,
        "pii_principal_id": given.person_id,
        "pii_principal": {
            "name": given.name,
            "capacity": given.capacity,
            "for_person_id": given.for_person_id,
            "represented_by": given.represented_by,
        },
        "case_id": given.case_id,
        "issued_at": _text(now),
        "language": "en",
        "privacy_notice": {
            "version": str(given.statement_version),
            "sha256": given.statement_sha256,
            "location": f"/v1/statement/{given.statement_version}",
            "informed_at": _text(given.informed_at),
        },
        "lawful_basis": LAWFUL_BASIS,
        "collection_method": given.channel,
        "evidence_document_id": given.evidence,
        "purposes": [_purpose(grant, stands=grant in standing) for grant in given.grants],
        "recipients": [_recipient(party, stores.organisations.get(party)) for party in parties],
        "pii_information": list(_INFORMATION),
        "storage_location": _STORAGE,
        "retention_period": _RETENTION,
        "withdrawal_method": f"At any time, by phone ({office.phone}), email ({office.email}), letter or in person.",
        "privacy_rights": _RIGHTS,
        "parties": [
            {"party_role": "pii_controller", "party_name": office.controller, "party_contact": office.dpo_contact},
            {"party_role": "service", "party_name": office.name, "party_contact": contact},
        ],
        "events": [_event(one) for one in happened],
    }


def _purpose(grant: Grant, *, stands: bool) -> dict[str, Any]:
    return {
        "purpose": grant.purpose,
        "description": _PURPOSES[grant.purpose],
        "lawful_basis": LAWFUL_BASIS,
        "party_id": grant.party,
        "document_kind": grant.document_kind,
        "valid_until": None if grant.until is None else _text(end_of_day(grant.until)),
        "state": "standing" if stands else "ended",
    }


def _recipient(party: str, organisation: Organisation | None) -> dict[str, Any]:
    if organisation is None:
        return {"party_id": party, "party_type": "person", "party_name": None}
    return {"party_id": party, "party_type": organisation.kind, "party_name": organisation.name}


def _event(one: Happening) -> dict[str, Any]:
    return {
        "event_type": one.event,
        "event_time": _text(one.at),
        "purposes": None if one.purposes is None else [_named(grant) for grant in one.purposes],
        "superseded_by": one.superseded_by,
    }


def _named(grant: Grant) -> dict[str, Any]:
    return {"purpose": grant.purpose, "party_id": grant.party, "document_kind": grant.document_kind}


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
