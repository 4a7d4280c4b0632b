"""Reading the case service's stores."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from services.case.model.safe_contact import SafeContact
from services.case.model.search import hash_of, hashes_of, keys_of
from shared.known_consents import StandingConsent
from tests.contracts.stored.ids import CASE, CONSENT, COUNCIL, PARENT, SCHOOL, numbered
from tests.contracts.stored.opening import Opened, Row
from tests.contracts.stored.reading import Reading

WHEN = datetime(2026, 3, 14, 9, 26, 53, 589_000, tzinfo=UTC)


def _found(opened: Opened, row: Row) -> Any:
    """The person of the row, and the cases that are found by what they are found by."""
    stores = opened.stores
    person = stores.people.get(row["_id"])
    found = {
        criterion.value: [
            one.case_id
            for one in stores.search_hashes.find(
                {criterion.value: hash_of(criterion, key, search_key=stores.search_key)}, limit=10
            )
        ]
        for criterion, key in keys_of(person).items()
    }
    return person, found


CASE_STORES = {
    "cases": Reading(
        read=lambda o, row: o.stores.cases.get(row["_id"]),
        save=lambda o, tx, case: o.stores.cases.save(case, tx=tx),
        told=[
            {
                "reference": "K7MW-3FQA",
                "state": "open",
                "channel": "phone",
                "created_at": WHEN,
                "expires_at": None,
                "level": 3,
                "version": 2,
            },
            {"state": "shell", "expires_at": WHEN + timedelta(days=7), "level": None, "version": 1},
        ],
    ),
    "people": Reading(
        read=lambda o, row: o.stores.people.get(row["_id"], case_id=row["case_id"]),
        save=lambda o, tx, person: o.stores.people.save(person, tx=tx),
        told=[
            {
                "role": "parent",
                "given_name": "Żaneta",
                "family_name": "Okonkwo-Łukasik",
                "date_of_birth": date(1985, 12, 10),
                "address": ("14 Dolphin Terrace", "Marlow Vale", "SW1A 1AA"),
                "email": "zaneta.okonkwo@family.example",
                "phone": "07700 900123",
                "parental_responsibility": True,
                "preferred_channel": "letter",
                "formats": ("large_print", "easy_read"),
                "safe_contact": SafeContact(
                    post="plain", email="yes", phone="no", voicemail="no", text="yes", asked_at=WHEN
                ),
                "kept_apart": False,
            },
            {
                "given_name": "Zoé",
                "family_name": "O’Súilleabháin 李",
                "date_of_birth": date(2010, 2, 28),
                "address": None,
                "parental_responsibility": False,
                "kept_apart": True,
                "version": 2,
            },
            {
                "given_name": "Ada",
                "date_of_birth": None,
                "address": None,
                "email": None,
                "parental_responsibility": None,
                "formats": (),
                "safe_contact": SafeContact(),
            },
        ],
    ),
    "search_hashes": Reading(
        read=_found,
        save=lambda o, tx, model: o.stores.search_hashes.put(
            hashes_of(model[0], search_key=o.stores.search_key), tx=tx
        ),
        told=[
            {"1": {"family_name": [CASE], "postcode": [CASE], "email": [CASE], "phone": [CASE]}},
            {"1": {"family_name": [CASE]}},
            {"1": {}},
        ],
    ),
    "stops": Reading(
        read=lambda o, row: o.stores.stops.get(row["case_id"]),
        save=lambda o, tx, stop: o.stores.stops.save(stop, tx=tx),
        told=[
            {"reason": "court_order", "words": "The court’s words", "by": "manager-1", "at": WHEN},
            {"reason": "death", "words": None},
        ],
    ),
    "entries": Reading(
        read=lambda o, row: o.stores.entries.get(row["_id"], case_id=row["case_id"]),
        told=[
            {
                "kind": "meeting",
                "happened_at": WHEN + timedelta(days=30),
                "recorded_at": WHEN,
                "text": "Annual review of the plan – with the school’s SENCO.",
                "place": "Zum Löwen, Raum 2",
                "papers": ("EHC plan", "Ergänzung"),
                "corrects": None,
            },
            {"kind": "wish", "text": "A quiet room 🙂", "place": None, "papers": (), "level": None},
            {"kind": "note", "corrects": numbered(102), "level": 4, "recorded_by": "manager-1"},
        ],
    ),
    "contacts": Reading(
        read=lambda o, row: o.stores.contacts.get(row["_id"], case_id=row["case_id"]),
        told=[
            {
                "organisation_id": SCHOOL,
                "consent_id": CONSENT,
                "recorded_at": WHEN,
                "recorded_by": "worker-1",
                "purpose": "To ask for a place",
                "summary": "They’ll write back by Friday.",
            }
        ],
    ),
    "disclosures": Reading(
        read=lambda o, row: o.stores.disclosures.get(row["_id"], case_id=row["case_id"]),
        told=[
            {"basis": "consent", "consent_id": CONSENT, "party": COUNCIL, "told_family": None, "order": None},
            {
                "basis": "legal_duty",
                "consent_id": None,
                "told_family": True,
                "recipient": "First-tier Tribunal",
                "what": "The timeline",
                "reason": "Ordered",
                "order": "Order 17/2026",
                "issuer": "HM Courts",
                "scope": "Entries of 2025",
            },
        ],
    ),
    "safeguarding": Reading(
        read=lambda o, row: o.stores.concerns.get(row["_id"]),
        save=lambda o, tx, concern: o.stores.concerns.save(concern, tx=tx),
        told=[
            {"about": None, "decision": "not_shared", "state": "open", "hold_until": None, "recipient": None},
            {
                "about": CASE,
                "decision": "shared",
                "told_family": True,
                "state": "reviewed",
                "outcome": "justified",
                "reviewed_by": "lead-1",
                "reviewed_at": WHEN + timedelta(days=1),
                "hold_until": date(2032, 3, 14),
                "hold_reason": "An inquiry",
                "alerted_at": WHEN + timedelta(minutes=1),
                "what": "What Zoë said",
                "review": "It was right.",
                "party": COUNCIL,
            },
        ],
    ),
    "projections": Reading(
        read=lambda o, row: o.stores.known_consents.get(row["_id"]),
        save=lambda o, tx, consents: o.stores.known_consents.put(consents, tx=tx),
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
    "intakes": Reading(
        read=lambda o, row: o.stores.intakes.get(row["_id"]),
        save=lambda o, tx, intake: o.stores.intakes.save(intake, tx=tx),
        told=[{"version": 1}],
    ),
}
