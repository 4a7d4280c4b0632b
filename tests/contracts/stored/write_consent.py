"""Records of the consent service, written through its stores (see make.py)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from services.consent.actions.consents import add_organisation
from services.consent.actions.requests import place_hold, request_key
from services.consent.model import requests as r
from services.consent.model import reviews as v
from services.consent.model import tasks as t
from services.consent.model.consents import Consent, Ended, Ending, Grant
from services.consent.model.rights import Young
from services.consent.store.ledger import Ledger
from shared.db.unit_of_work import Tx
from shared.security.signing import Signer
from tests.contracts.stored.ids import (
    AFTERWARDS,
    CARER,
    CASE,
    CHILD,
    CHILDS_CONSENT,
    CONSENT,
    COUNCIL,
    DEPUTYS_CONSENT,
    DOCUMENT,
    ERASED,
    FROZEN,
    KEYLESS,
    KEYLESS_REQUEST,
    PAPER,
    PARENT,
    REQUEST,
    REVIEW,
    SCHOOL,
    STRIPPED,
    numbered,
)
from tests.contracts.stored.opening import Opened

WHEN = datetime(2026, 3, 14, 9, 26, 53, 589_000, tzinfo=UTC)
DAY = date(2026, 3, 14)
JWS = "eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJjYXNlIn0.c2lnbmVk"


def write_consent(opened: Opened) -> None:
    kit, stores = opened.kit, opened.stores
    add_organisation(stores, id=SCHOOL, name="Grundschule St. Élodie", kind="school")
    add_organisation(stores, id=COUNCIL, name="Marlow Vale Council", kind="local_authority")
    kit.vault.create_key(request_key(AFTERWARDS))

    def act(tx: Tx) -> None:
        for given in _consents():
            stores.add_consent(tx, given)
        for end in _endings():
            stores.add_ending(tx, end)
        # As `_coming` in actions/intake.py makes it.
        coming = {
            "people": [{"id": PARENT, "role": "parent", "given_name": "Żaneta", "family_name": "Okonkwo"}],
            "wishes": [{"id": numbered(102), "kind": "wish", "text": "A quiet room 🙂"}],
            "by": "worker-1",
            "at": WHEN.isoformat(),
            "standing": [{"consent": CONSENT, "purpose": "casework", "until": None}],
            "seq": 4,
        }
        stores.intakes.insert(tx, id=CASE, case_id=CASE, clear={}, personal=coming)
        stores.put_young(tx, CASE, _young())
        stores.put_people(tx, CASE, [{"person": CHILD, "role": "child"}, {"person": PARENT, "role": "parent"}])
        stores.put_people(tx, FROZEN, [])
        stores.put_people(tx, CASE, [{"person": CHILD, "role": "young_person"}, {"person": PARENT, "role": "parent"}])
        for task in _tasks():
            stores.tasks.add(tx, task)
        _reviews(stores, tx)
        _clock_runs(stores, tx)
        _requests(stores, tx)
        for row in _receipts():
            stores.receipts.insert(row, session=tx.session)

    kit.unit_of_work.run(act, answers=False)
    for month in ("2026-02", "2026-03", "2026-03"):
        stores.helpline_calls.count_one(month)
    ledger = Ledger(stores.ledger, Signer(kit.settings.ledger_jwk), None)
    ledger.append(kind="erasure", about=STRIPPED, case_id=ERASED, at=WHEN)
    ledger.append(kind="withdrawal", about=numbered(201), case_id=CASE, at=WHEN + timedelta(seconds=1))
    held = {"ground": "legal_claim", "until": date(2027, 1, 31), "reason": "A claim – Łukasik v. Council"}
    place_hold(stores, id=numbered(211), case_id=CASE, placed_by="manager-1", now=WHEN, **held)


def _consents() -> list[Consent]:
    same: dict[str, Any] = {
        "case_id": CASE,
        "informed_at": WHEN - timedelta(minutes=5),
        "given_at": WHEN,
        "statement_version": "1",
        "statement_sha256": "ab" * 32,
        "recorded_at": WHEN + timedelta(minutes=1),
        "recorded_by": "worker-1",
    }
    until = date(2027, 3, 31)
    parents = Consent(
        id=CONSENT,
        given_by={"name": "Żaneta Okonkwo-Łukasik", "person_id": PARENT, "capacity": "parental_responsibility"},
        channel="form",
        grants=(
            Grant(purpose="casework", until=until),
            Grant(purpose="obtain_documents", party=SCHOOL, document_kind="ehc_plan", until=date(2026, 9, 30)),
        ),
        evidence=DOCUMENT,
        until=until,
        **same,
    )
    childs = Consent(
        id=CHILDS_CONSENT,
        given_by={"name": "Zoë", "capacity": "child", "basis": "Judged competent by the school’s nurse"},
        channel="in_person",
        grants=(Grant(purpose="email"),),
        evidence=None,
        **same,
    )
    judged = {"represented_by": "deputy", "how_judged": "Assessed under the 2005 Act", "judged_by": "Dr Ève Moreau"}
    deputys = Consent(
        id=DEPUTYS_CONSENT,
        given_by={
            "name": "Ada Byron",
            "person_id": CARER,
            "capacity": "other",
            "basis": None,
            "for_person_id": CHILD,
            "incapacity": judged,
        },
        channel="letter",
        grants=(Grant(purpose="share", party=COUNCIL),),
        evidence=None,
        **same,
    )
    return [parents, childs, deputys]


def _endings() -> list[Ending]:
    at = WHEN + timedelta(days=2)
    withdrawn = Ending(
        id=numbered(201),
        case_id=CASE,
        consent_id=CHILDS_CONSENT,
        grants=(Grant(purpose="email"),),
        at=at,
        channel="phone",
        by="Zoë herself",
    )
    replaced = Ending(
        id=numbered(202),
        case_id=CASE,
        consent_id=DEPUTYS_CONSENT,
        kind=Ended.SUPERSEDED,
        grants=None,
        at=at,
        superseded_by=CONSENT,
    )
    return [withdrawn, replaced]


def _young() -> list[Young]:
    full = Young(person_id=CHILD, case_id=CASE, pass_on=date(2026, 6, 27), passed_at=WHEN, next_on=date(2034, 9, 1))
    return [full, Young(person_id=numbered(14), case_id=CASE, pass_on=None)]


def _tasks() -> list[t.Task]:
    same: dict[str, Any] = {"case_id": CASE, "due_on": date(2026, 4, 1), "opened_at": WHEN}
    done = t.Task(
        id=numbered(221),
        kind=t.Kind.RIGHTS_PASS,
        subject_id=CHILD,
        state=t.State.DONE,
        done_at=WHEN + timedelta(days=3),
        done_by="worker-2",
        **same,
    )
    return [done, t.Task(id=numbered(222), kind=t.Kind.CONSENT_EXPIRED, subject_id=None, state=t.State.OPEN, **same)]


def _reviews(stores: Any, tx: Tx) -> None:
    new = v.Review(id=REVIEW, case_id=CASE, consent_id=CONSENT, person_id=PARENT, due_on=date(2027, 3, 14))
    new = stores.reviews.add(tx, replace(new, next_at=WHEN + timedelta(days=365)))
    answered = replace(
        new,
        state=v.State.ANSWERED,
        round=2,
        asked_at=WHEN,
        handed_at=WHEN + timedelta(days=1),
        reminded_at=WHEN + timedelta(days=15),
        reminder_handed_at=WHEN + timedelta(days=16),
        returned_at=WHEN + timedelta(days=17),
        unreached=True,
        next_at=None,
        decision=v.JsonResponse.FORGET,
        answered_at=WHEN + timedelta(days=20),
        channel="letter",
        request_id=REQUEST,
        ways="cd" * 32,
        by="Żaneta’s sister",
    )
    stores.reviews.save(tx, answered)
    stores.reviews.add(
        tx, v.Review(id=numbered(72), case_id=CASE, consent_id=CHILDS_CONSENT, person_id=None, due_on=DAY)
    )


def _clock_runs(stores: Any, tx: Tx) -> None:
    stores.clock_runs.put(tx, WHEN, confirmed_by="manager-1")
    stores.clock_runs.put(tx, WHEN + timedelta(days=1), confirmed_by=None)


def _requests(stores: Any, tx: Tx) -> None:
    made_by = {"name": "Żaneta Okonkwo-Łukasik", "authority": "parental_responsibility", "person_id": PARENT}
    asked = r.Request(
        id=REQUEST,
        kind="erasure",
        case_id=CASE,
        status=r.Status.RECEIVED,
        phase=r.Phase.ASKED,
        received_at=WHEN,
        logged_at=WHEN + timedelta(hours=1),
        logged_by="system",
        recorded_by="worker-1",
        channel="phone",
        due_on=date(2026, 3, 17),
        due_at=datetime(2026, 3, 17, 23, 59, 59, tzinfo=UTC),
        about=(PARENT, CHILD),
        identity_settled=True,
        confirmed_by=None,
        confirmed_at=None,
        letter=None,
        attempts={},
        elsewhere=("paper.archive", "old_system"),
        elsewhere_certified=(),
        verified_at=None,
        completed_at=None,
        certificate=None,
        personal={"made_by": made_by, "note": "Called twice", "late_reason": "Snow"},
        version=1,
    )
    stores.add_request(tx, asked, key=None)
    begun = replace(
        asked,
        status=r.Status.IN_PROGRESS,
        phase=r.Phase.BEGUN,
        confirmed_by="worker-2",
        confirmed_at=WHEN + timedelta(hours=2),
        letter="sealed",
        attempts={"case": 1, "document": 2, "consent": 1, "notifier": 1},
        elsewhere_certified=("old_system",),
    )
    stores.change_request(tx, asked, begun)
    # Stripped when its case is erased (write_kernel).
    stripped = replace(
        asked,
        id=STRIPPED,
        case_id=ERASED,
        status=r.Status.COMPLETED,
        phase=r.Phase.DONE,
        about=(),
        elsewhere=(),
        recorded_by=None,
        verified_at=WHEN + timedelta(days=1),
        completed_at=WHEN + timedelta(days=2),
        certificate=JWS,
        letter="undeliverable",
    )
    stores.add_request(tx, stripped, key=None)
    stores.add_request(tx, replace(asked, id=AFTERWARDS, case_id=ERASED), key=request_key(AFTERWARDS))
    stores.add_request(tx, replace(asked, id=KEYLESS_REQUEST, case_id=KEYLESS), key=None)


def _receipts() -> list[dict[str, Any]]:
    """As `take_receipt` in actions/receipts.py keeps them."""
    same: dict[str, Any] = {"request": STRIPPED, "case_id": ERASED, "jws": JWS, "signed_at": WHEN, "at": WHEN}
    held = [{"store": "people", "found": 3, "deleted": 3, "remaining": 0}]
    paper = [{"paper_file": PAPER, "method": "shredded", "at": WHEN}]
    documents = {"service": "document", "attempt": 2, "outcome": "erased", "stores": held, "late": []}
    letters = {"service": "notifier", "attempt": 1, "outcome": "nothing_held", "stores": [], "late": ["sealed_letters"]}
    return [
        {"_id": numbered(231), **same, **documents, "last_letter": None, "paper": paper},
        {"_id": numbered(232), **same, **letters, "last_letter": "unknown", "paper": []},
    ]
