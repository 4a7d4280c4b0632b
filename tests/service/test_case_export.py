"""What a family would be given of each store of the case service (P23)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from deploy.local.provision import Provision
from services.case.context import Context
from services.case.main import service
from services.case.model.cases import PendingIntake, new_shell
from services.case.model.contacts import Contact
from services.case.model.disclosures import Disclosure
from services.case.model.entries import Entry
from services.case.model.people import Person
from services.case.model.safe_contact import SafeContact, Stop
from services.case.model.safeguarding import Concern, key_of
from services.case.model.search import hashes_of
from services.case.store import Stores
from shared.db import Repository
from shared.db.unit_of_work import Tx
from shared.ids import new_id
from shared.known_consents import KnownConsents, StandingConsent

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MOMENT = "2026-11-22T12:00:00+00:00"
CASE, OTHER, PARTY, CONSENT = (new_id() for _ in range(4))
RECORDED = {"recorded_at": MOMENT, "recorded_by": "worker-1"}


@pytest.fixture
def context(provided: Provision, monkeypatch: pytest.MonkeyPatch) -> Context:
    for name, value in provided.env["case"].items():
        monkeypatch.setenv(name, value)
    return service.open("worker").context


def a_person(**more: Any) -> Person:
    fields = {"id": new_id(), "case_id": CASE, "role": "parent", "given_name": "Zoë", "family_name": "Łoś", **more}
    return Person(**fields)


def add_everything(stores: Stores, tx: Tx) -> None:
    """One record of each store, and of some a second one: of another case."""
    made: dict[str, Any] = {"case_id": CASE, "recorded_at": NOW, "recorded_by": "worker-1"}
    stores.cases.add(new_shell(id=CASE, reference="K7MW-3FQA", channel="phone", life=timedelta(days=7), now=NOW), tx=tx)
    person = a_person(
        date_of_birth=date(1985, 12, 10),
        address=("14 Dolphin Terrace", "Marlow", "SW1A 1AA"),
        formats=("large_print",),
        safe_contact=SafeContact(post="plain", asked_at=NOW),
    )
    for one in (person, a_person(case_id=OTHER)):
        stores.people.add(one, tx=tx)
        stores.search_hashes.put(hashes_of(one, search_key=stores.keys.search_key(tx, one.case_id)), tx=tx)
    stores.stops.add(Stop(case_id=CASE, reason="death", words="Her own words", by="manager-1", at=NOW), tx=tx)
    stores.entries.add(
        Entry(id=new_id(), kind="meeting", happened_at=NOW, text="A review", papers=("the plan",), **made), tx=tx
    )
    stores.contacts.add(
        Contact(id=new_id(), organisation_id=PARTY, consent_id=CONSENT, purpose="A place", summary="Yes", **made),
        tx=tx,
    )
    stores.disclosures.add(
        Disclosure(
            id=new_id(),
            basis="consent",
            consent_id=CONSENT,
            party=PARTY,
            told_family=None,
            recipient="A school",
            what="The plan",
            **made,
        ),
        tx=tx,
    )
    made["about"] = made.pop("case_id")
    concern = Concern(
        id=new_id(), decision="shared", told_family=False, recipient="The police", what="A threat", **made
    )
    stores.keys.make(tx, key_of(concern.id))
    stores.concerns.add(concern, tx=tx)
    standing = (StandingConsent(consent=CONSENT, purpose="casework", until=NOW),)
    stores.known_consents.put(KnownConsents(case_id=CASE, standing=standing), tx=tx)
    stores.intakes.add(PendingIntake(case_id=CASE), tx=tx)


def test_a_family_is_given_what_is_theirs_and_nothing_of_how_it_is_kept(context: Context) -> None:
    # Given a record in every store
    stores = context.stores
    for case_id in (CASE, OTHER):
        stores.unit_of_work.gates.make_if_unknown(case_id)
    stores.unit_of_work.run(lambda tx: add_everything(stores, tx))

    # When each is exported
    repositories = {name: each for name in Stores.__slots__ if isinstance(each := getattr(stores, name), Repository)}
    exported = {name: [dict(one.fields) for one in store.export(CASE)] for name, store in repositories.items()}

    # Then it is what the family may be given, as plain JSON values
    assert exported == {
        "cases": [
            {
                "reference": "K7MW-3FQA",
                "state": "shell",
                "channel": "phone",
                "created_at": MOMENT,
                "expires_at": "2026-11-29T12:00:00+00:00",
                "level": None,
            }
        ],
        "people": [
            {
                "role": "parent",
                "given_name": "Zoë",
                "family_name": "Łoś",
                "date_of_birth": "1985-12-10",
                "address": ["14 Dolphin Terrace", "Marlow", "SW1A 1AA"],
                "email": None,
                "phone": None,
                "parental_responsibility": None,
                "preferred_channel": None,
                "formats": ["large_print"],
                "safe_contact": {
                    "post": "plain",
                    "email": None,
                    "phone": None,
                    "voicemail": None,
                    "text": None,
                    "asked_at": MOMENT,
                },
                "kept_apart": False,
            }
        ],
        "stops": [{"reason": "death", "words": "Her own words", "by": "manager-1", "at": MOMENT}],
        "entries": [
            {
                "kind": "meeting",
                "happened_at": MOMENT,
                "text": "A review",
                "corrects": None,
                "level": None,
                "place": None,
                "papers": ["the plan"],
                **RECORDED,
            }
        ],
        "contacts": [
            {"organisation_id": PARTY, "consent_id": CONSENT, "purpose": "A place", "summary": "Yes", **RECORDED}
        ],
        "disclosures": [
            {
                "basis": "consent",
                "consent_id": CONSENT,
                "party": PARTY,
                "told_family": None,
                "recipient": "A school",
                "what": "The plan",
                "reason": None,
                "order": None,
                "issuer": None,
                "scope": None,
                **RECORDED,
            }
        ],
        "known_consents": [
            {
                "standing": [
                    {
                        "consent": CONSENT,
                        "purpose": "casework",
                        "party": None,
                        "document_kind": None,
                        "person": None,
                        "until": MOMENT,
                    }
                ]
            }
        ],
        # Safeguarding is never spoken of (P15); hashes and what an intake waits for are no data of theirs.
        "concerns": [],
        "search_hashes": [],
        "intakes": [],
    }
    # And an erasure finds all of it but what is kept apart from every case
    assert {name: store.found(CASE) for name, store in repositories.items()} == {
        name: int(name != "concerns") for name in exported
    }
