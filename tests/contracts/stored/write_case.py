"""Records of the case service, written through its stores (see make.py)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from services.case.model.cases import new_shell, opened
from services.case.model.consents import Consents, Standing
from services.case.model.contacts import Contact
from services.case.model.disclosures import Disclosure
from services.case.model.entries import Entry
from services.case.model.people import Person
from services.case.model.safe_contact import SafeContact, Stop
from services.case.model.safeguarding import Concern, held, key_of, reviewed
from shared.db.unit_of_work import Tx
from tests.contracts.stored.ids import CARER, CASE, CHILD, CONSENT, COUNCIL, FROZEN, PARENT, SCHOOL, numbered
from tests.contracts.stored.opening import Opened

WHEN = datetime(2026, 3, 14, 9, 26, 53, 589_000, tzinfo=UTC)

_FULL = Person(
    id=PARENT,
    case_id=CASE,
    role="parent",
    given_name="Żaneta",
    family_name="Okonkwo-Łukasik",
    date_of_birth=date(1985, 12, 10),
    address=("14 Dolphin Terrace", "Marlow Vale", "SW1A 1AA"),
    email="zaneta.okonkwo@family.example",
    phone="07700 900123",
    parental_responsibility=True,
    preferred_channel="letter",
    formats=("large_print", "easy_read"),
    safe_contact=SafeContact(post="plain", email="yes", phone="no", voicemail="no", text="yes", asked_at=WHEN),
)
_APART = Person(
    id=CHILD,
    case_id=CASE,
    role="young_person",
    given_name="Zoë",
    family_name="O’Súilleabháin 李",
    date_of_birth=date(2010, 2, 28),
    parental_responsibility=False,
    kept_apart=True,
)
_BARE = Person(id=CARER, case_id=FROZEN, role="carer", given_name="Ada", family_name="Byron")


def write_case(opened_: Opened) -> None:
    kit, stores = opened_.kit, opened_.stores
    concerns = _concerns()
    for concern, _ in concerns:
        kit.vault.create_key(key_of(concern.id))

    def act(tx: Tx) -> None:
        _cases(stores, tx)
        for person in (_FULL, _APART, _BARE):
            stores.people.add(tx, person)
            stores.search_hashes.add(tx, person)
        moved = stores.people.get(CASE, CHILD, tx=tx)
        stores.people.save(tx, replace(moved, given_name="Zoé"))
        stores.stops.put(
            tx, Stop(case_id=CASE, reason="court_order", words="The court’s words", by="manager-1", at=WHEN)
        )
        stores.stops.put(tx, Stop(case_id=FROZEN, reason="death", words=None, by="manager-1", at=WHEN))
        for entry in _entries():
            stores.entries.add(tx, entry)
        stores.contacts.add(tx, _contact())
        for disclosure in _disclosures():
            stores.disclosures.add(tx, disclosure)
        for concern, after in concerns:
            kept = stores.concerns.add(tx, concern)
            if after is not None:
                stores.concerns.save(tx, replace(after, version=kept.version))
        stores.projections.put(tx, FROZEN, Consents())
        stores.projections.put(tx, CASE, Consents(_standing()))
        stores.intakes.expect(tx, FROZEN)

    kit.unit_of_work.run(act, answers=False)


def _cases(stores: Any, tx: Tx) -> None:
    shell = new_shell(id=CASE, reference="K7MW-3FQA", channel="phone", life=timedelta(days=7), now=WHEN)
    stores.cases.save(tx, replace(opened(stores.cases.add(tx, shell)), level=3))
    waiting = new_shell(id=FROZEN, reference="ACDF-2345", channel="website", life=timedelta(days=7), now=WHEN)
    stores.cases.add(tx, waiting)


def _entries() -> list[Entry]:
    meeting = Entry(
        id=numbered(101),
        case_id=CASE,
        kind="meeting",
        at=WHEN + timedelta(days=30),
        recorded_at=WHEN,
        recorded_by="worker-1",
        text="Annual review of the plan – with the school’s SENCO.",
        place="Zum Löwen, Raum 2",
        papers=("EHC plan", "Ergänzung"),
    )
    wish = Entry(
        id=numbered(102),
        case_id=CASE,
        kind="wish",
        at=WHEN,
        recorded_at=WHEN,
        recorded_by="worker-2",
        text="A quiet room 🙂",
    )
    correction = Entry(
        id=numbered(103),
        case_id=CASE,
        kind="note",
        at=WHEN,
        recorded_at=WHEN + timedelta(hours=1),
        recorded_by="manager-1",
        corrects=wish.id,
        level=4,
        text="A quiet table",
    )
    return [meeting, wish, correction]


def _contact() -> Contact:
    return Contact(
        id=numbered(111),
        case_id=CASE,
        organisation_id=SCHOOL,
        consent_id=CONSENT,
        recorded_at=WHEN,
        recorded_by="worker-1",
        purpose="To ask for a place",
        summary="They’ll write back by Friday.",
    )


def _disclosures() -> list[Disclosure]:
    same: dict[str, Any] = {"case_id": CASE, "recorded_at": WHEN, "recorded_by": "manager-1"}
    consented = Disclosure(
        id=numbered(121),
        basis="consent",
        consent_id=CONSENT,
        party=COUNCIL,
        told_family=None,
        recipient="Marlow Vale Council",
        what="The plan’s section F",
        **same,
    )
    ordered = Disclosure(
        id=numbered(122),
        basis="legal_duty",
        consent_id=None,
        party=None,
        told_family=True,
        recipient="First-tier Tribunal",
        what="The timeline",
        reason="Ordered",
        order="Order 17/2026",
        issuer="HM Courts",
        scope="Entries of 2025",
        **same,
    )
    return [consented, ordered]


def _concerns() -> list[tuple[Concern, Concern | None]]:
    """Each as it is recorded, and as it is after its review and hold."""
    about_nobody = Concern(
        id=numbered(131),
        about=None,
        decision="not_shared",
        told_family=False,
        recorded_at=WHEN,
        recorded_by="worker-1",
        recipient=None,
        what="A caller’s worry about a neighbour’s child",
    )
    told = Concern(
        id=numbered(132),
        about=CASE,
        decision="shared",
        told_family=False,
        recorded_at=WHEN,
        recorded_by="worker-1",
        alerted_at=WHEN + timedelta(minutes=1),
        recipient="Children’s services",
        what="What Zoë said",
        reason="Risk of harm",
        party=COUNCIL,
        order="Section 47",
        issuer="Council",
        scope="All of it",
    )
    after = reviewed(
        told,
        outcome="justified",
        words="It was right.",
        reason=None,
        told_family=True,
        by="lead-1",
        now=WHEN + timedelta(days=1),
    )
    after = held(after, until=date(2032, 3, 14), reason="An inquiry", today=date(2026, 3, 15))
    return [(about_nobody, None), (told, after)]


def _standing() -> tuple[Standing, ...]:
    return (
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
