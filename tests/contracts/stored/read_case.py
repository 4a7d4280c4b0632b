"""Reading the case service's stores."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from services.case.model.consents import Standing
from services.case.model.safe_contact import SafeContact
from services.case.model.search import keys_of
from tests.contracts.stored.ids import CASE, CONSENT, COUNCIL, PARENT, SCHOOL, numbered
from tests.contracts.stored.opening import Opened, Row
from tests.contracts.stored.reading import Reading

WHEN = datetime(2026, 3, 14, 9, 26, 53, 589_000, tzinfo=UTC)


def _found(opened: Opened, row: Row) -> Any:
    """The person of the row, and the cases that are found by what they are found by."""
    person = opened.stores.people.get(row["case_id"], row["_id"])
    hashes = opened.stores.search_hashes
    return person, {name.value: hashes.cases(name, key, limit=10) for name, key in keys_of(person).items()}


CASE_STORES = {
    "cases": Reading(
        read=lambda o, row: o.stores.cases.get(row["_id"]),
        save=lambda o, tx, case: o.stores.cases.save(tx, case),
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
        read=lambda o, row: o.stores.people.get(row["case_id"], row["_id"]),
        save=lambda o, tx, person: o.stores.people.save(tx, person),
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
        save=lambda o, tx, model: o.stores.search_hashes.put(tx, model[0]),
        told=[
            {"1": {"family_name": [CASE], "postcode": [CASE], "email": [CASE], "phone": [CASE]}},
            {"1": {"family_name": [CASE]}},
            {"1": {}},
        ],
    ),
    "stops": Reading(
        read=lambda o, row: o.stores.stops.get(row["case_id"]),
        save=lambda o, tx, stop: o.stores.stops.put(tx, stop),
        told=[
            {"reason": "court_order", "words": "The court’s words", "by": "manager-1", "at": WHEN},
            {"reason": "death", "words": None},
        ],
    ),
    "entries": Reading(
        read=lambda o, row: o.stores.entries.get(row["case_id"], row["_id"]),
        told=[
            {
                "kind": "meeting",
                "at": WHEN + timedelta(days=30),
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
        read=lambda o, row: o.stores.contacts.get(row["case_id"], row["_id"]),
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
        read=lambda o, row: o.stores.disclosures.get(row["case_id"], row["_id"]),
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
        save=lambda o, tx, concern: o.stores.concerns.save(tx, concern),
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
        read=lambda o, row: o.kit.unit_of_work.run(
            lambda tx: (row["_id"], o.stores.projections.get(row["_id"], tx=tx))
        ),
        save=lambda o, tx, model: o.stores.projections.put(tx, *model),
        told=[
            {
                "1.standing": (
                    Standing(consent=CONSENT, purpose="casework"),
                    Standing(
                        consent=CONSENT,
                        purpose="obtain_documents",
                        party=SCHOOL,
                        document_kind="ehc_plan",
                        person=PARENT,
                        until=datetime(2027, 3, 31, 22, 59, 59, tzinfo=UTC),
                    ),
                )
            },
            {"1.standing": ()},
        ],
    ),
    "intakes": Reading(
        read=lambda o, row: o.kit.unit_of_work.run(lambda tx: o.stores.intakes.is_expected(tx, row["_id"])), told=[True]
    ),
}
