"""Reading the case service's stores."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from services.case.model.safe_contact import SafeContact
from services.case.model.search import keys_of
from services.case.store.queries import cases_by_hash
from shared.known_consents import StandingConsent
from tests.contracts.stored.ids import CASE, CONSENT, COUNCIL, PARENT, SCHOOL, numbered
from tests.contracts.stored.opening import Opened, Row
from tests.contracts.stored.reading import Reading

WHEN = datetime(2026, 3, 14, 9, 26, 53, 589_000, tzinfo=UTC)


def _found(opened: Opened, row: Row) -> Any:
    """The cases that the person of the row is found in, by all that they are found by."""
    stores = opened.stores
    keys = keys_of(stores.people.get(row["_id"]))
    return {criterion.value: sorted(cases_by_hash(stores, criterion, key)) for criterion, key in keys.items()}


CASE_STORES = {
    "cases": Reading(
        told=[
            {"reference": "K7MW-3FQA", "created_at": WHEN, "expires_at": None, "level": 3, "version": 2},
            {"state": "shell", "expires_at": WHEN + timedelta(days=7), "level": None, "version": 1},
        ],
    ),
    "people": Reading(
        told=[
            {
                "given_name": "Żaneta",
                "date_of_birth": date(1985, 12, 10),
                "address": ("14 Dolphin Terrace", "Marlow Vale", "SW1A 1AA"),
                "parental_responsibility": True,
                "formats": ("large_print", "easy_read"),
                "safe_contact": SafeContact(
                    post="plain", email="yes", phone="no", voicemail="no", text="yes", asked_at=WHEN
                ),
                "kept_apart": False,
            },
            {"family_name": "O’Súilleabháin 李", "address": None, "kept_apart": True, "version": 2},
            {
                "date_of_birth": None,
                "parental_responsibility": None,
                "formats": (),
                "safe_contact": SafeContact(),
            },
        ],
    ),
    "search_hashes": Reading(
        read=_found,
        told=[
            {"family_name": [CASE], "postcode": [CASE], "email": [CASE], "phone": [CASE]},
            {"family_name": [CASE]},
            {},
        ],
    ),
    "stops": Reading(told=[{"reason": "court_order", "words": "The court’s words", "at": WHEN}, {"words": None}]),
    "entries": Reading(
        told=[
            {
                "happened_at": WHEN + timedelta(days=30),
                "text": "Annual review of the plan – with the school’s SENCO.",
                "place": "Zum Löwen, Raum 2",
                "papers": ("EHC plan", "Ergänzung"),
                "corrects": None,
            },
            {"kind": "wish", "text": "A quiet room 🙂", "papers": (), "level": None},
            {"corrects": numbered(102), "level": 4, "recorded_by": "manager-1"},
        ],
    ),
    "contacts": Reading(told=[{"organisation_id": SCHOOL, "recorded_at": WHEN, "purpose": "To ask for a place"}]),
    "disclosures": Reading(
        told=[
            {"consent_id": CONSENT, "party": COUNCIL, "told_family": None, "order": None},
            {"basis": "legal_duty", "consent_id": None, "told_family": True, "order": "Order 17/2026"},
        ],
    ),
    "safeguarding": Reading(
        told=[
            {"about": None, "state": "open", "hold_until": None, "recipient": None},
            {
                "about": CASE,
                "told_family": True,
                "outcome": "justified",
                "reviewed_at": WHEN + timedelta(days=1),
                "hold_until": date(2032, 3, 14),
                "alerted_at": WHEN + timedelta(minutes=1),
                "what": "What Zoë said",
            },
        ],
    ),
    "projections": Reading(
        told=[
            {
                "standing": (
                    StandingConsent(consent=CONSENT, purpose="casework"),
                    StandingConsent(
                        consent=CONSENT,
                        purpose="obtain_documents",
                        party=SCHOOL,
                        document_kind="ehc_plan",
                        person=PARENT,
                        until=datetime(2027, 3, 31, 22, 59, 59, tzinfo=UTC),
                    ),
                )
            },
            {"standing": ()},
        ],
    ),
    "intakes": Reading(told=[{"version": 1}]),
}
