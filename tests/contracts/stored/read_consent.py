"""Reading the consent service's stores."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from services.consent.model import requests as r
from services.consent.model import reviews as v
from services.consent.model import tasks as t
from services.consent.model.consents import Ended, Grant
from services.consent.store.ledger import Ledger
from shared.security.signing import Signer
from tests.contracts.stored.ids import (
    AFTERWARDS,
    CARER,
    CASE,
    CHILD,
    CHILDS_CONSENT,
    CONSENT,
    DOCUMENT,
    ERASED,
    PAPER,
    PARENT,
    REQUEST,
    SCHOOL,
    STRIPPED,
    numbered,
)
from tests.contracts.stored.opening import Opened, Row, rows_of
from tests.contracts.stored.reading import Reading

WHEN = datetime(2026, 3, 14, 9, 26, 53, 589_000, tzinfo=UTC)
_NAME = "Żaneta Okonkwo-Łukasik"
_JUDGED = {"represented_by": "deputy", "how_judged": "Assessed under the 2005 Act", "judged_by": "Dr Ève Moreau"}


def _among(models: Any, id: str) -> Any:
    return next(one for one in models if one.id == id)


def _receipt(opened: Opened, row: Row) -> Any:
    return next(one for one in opened.stores.receipts_of(row["request"]) if one.service == row["service"])


def _ledger(opened: Opened, row: Row) -> Any:
    """What it is about isn't entered again, and the entry after it follows from its hash."""
    ledger = Ledger(opened.stores.ledger, Signer(opened.runtime.settings.ledger_jwk), None)
    rows = rows_of(opened, "ledger")
    ledger.append(kind=row["kind"], about=row["about"], case_id=row["case_id"], at=WHEN)
    ledger.append(kind="shell_ended", about=numbered(299), case_id=numbered(299), at=WHEN)
    after = rows.find_one({"_id": row["_id"] + 1})
    return {"count": rows.count_documents({}), "before": after["before"] == row["hash"], "kind": row["kind"]}


def _clock_run(opened: Opened, row: Row) -> Any:
    if row["_id"] == "last":
        return opened.stores.clock_runs.last()
    # What the clock had said at that moment: what was confirmed, or the moment itself where that is later.
    return opened.stores.clock_runs.said_at(row["ran_at"]) == row["ran_at"]


CONSENT_STORES = {
    "organisations": Reading(
        read=lambda o, row: o.stores.organisations.get(row["_id"]),
        told=[
            {"clear.kind": "school", "personal.name": "Grundschule St. Élodie", "case_id": None, "version": 1},
            {"clear.kind": "local_authority", "personal.name": "Marlow Vale Council"},
        ],
    ),
    "consents": Reading(
        read=lambda o, row: _among(o.stores.consents_of(row["case_id"]), row["_id"]),
        told=[
            {
                "given_by.name": _NAME,
                "person_id": PARENT,
                "capacity": "parental_responsibility",
                "represented_by": None,
                "channel": "form",
                "informed_at": WHEN - timedelta(minutes=5),
                "given_at": WHEN,
                "statement_version": "1",
                "grants.0": Grant(purpose="casework"),
                "grants.0.until": date(2027, 3, 31),
                "grants.1": Grant(purpose="obtain_documents", party=SCHOOL, document_kind="ehc_plan"),
                "grants.1.until": date(2026, 9, 30),
                "evidence": DOCUMENT,
                "until": date(2027, 3, 31),
                "recorded_by": "worker-1",
            },
            {
                "given_by.basis": "Judged competent by the school’s nurse",
                "person_id": None,
                "for_person_id": None,
                "grants.0.until": None,
                "evidence": None,
                "until": None,
            },
            {"person_id": CARER, "for_person_id": CHILD, "given_by.incapacity": _JUDGED, "represented_by": "deputy"},
        ],
    ),
    "endings": Reading(
        read=lambda o, row: _among(o.stores.endings_of(row["case_id"]), row["_id"]),
        told=[
            {
                "consent_id": CHILDS_CONSENT,
                "kind": Ended.WITHDRAWN,
                "grants": (Grant(purpose="email"),),
                "at": WHEN + timedelta(days=2),
                "channel": "phone",
                "by": "Zoë herself",
            },
            {"kind": Ended.SUPERSEDED, "grants": None, "by": None, "superseded_by": CONSENT},
        ],
    ),
    "expiries": Reading(
        read=lambda o, row: _among(o.stores.expiries.of_case(row["case_id"]), row["_id"]),
        told=[
            {"clear.consent_id": CONSENT, "clear.on": "2026-09-30"},
            {"clear.consent_id": CONSENT, "clear.on": "2027-03-31"},
        ],
    ),
    "intakes": Reading(
        read=lambda o, row: o.stores.intakes.get(row["_id"]),
        told=[
            {
                "personal.people.0.given_name": "Żaneta",
                "personal.wishes.0.text": "A quiet room 🙂",
                "personal.at": WHEN.isoformat(),
                "personal.seq": 4,
            }
        ],
    ),
    "rights": Reading(
        read=lambda o, row: next(one for one in o.stores.young_of(row["case_id"]) if one.person_id == row["_id"]),
        told=[
            {"pass_on": date(2026, 6, 27), "passed_at": WHEN, "next_on": date(2034, 9, 1), "case_id": CASE},
            {"pass_on": None, "passed_at": None, "next_on": None},
        ],
    ),
    "people": Reading(
        read=lambda o, row: (row["_id"], o.stores.people_of(row["_id"])),
        save=lambda o, tx, model: o.stores.put_people(tx, *model),
        told=[
            {"1": [{"person": CHILD, "role": "young_person"}, {"person": PARENT, "role": "parent"}]},
            {"1": []},
        ],
    ),
    "tasks": Reading(
        read=lambda o, row: o.stores.tasks.get(row["_id"]),
        save=lambda o, tx, task: o.stores.tasks.save(tx, task),
        told=[
            {
                "kind": t.Kind.RIGHTS_PASS,
                "subject_id": CHILD,
                "due_on": date(2026, 4, 1),
                "state": t.State.DONE,
                "done_at": WHEN + timedelta(days=3),
                "done_by": "worker-2",
            },
            {"kind": t.Kind.CONSENT_EXPIRED, "subject_id": None, "state": t.State.OPEN, "done_at": None},
        ],
    ),
    "reviews": Reading(
        read=lambda o, row: o.stores.reviews.get(row["_id"]),
        save=lambda o, tx, review: o.stores.reviews.save(tx, review),
        told=[
            {
                "consent_id": CONSENT,
                "person_id": PARENT,
                "due_on": date(2027, 3, 14),
                "state": v.State.ANSWERED,
                "round": 2,
                "handed_at": WHEN + timedelta(days=1),
                "unreached": True,
                "next_at": None,
                "decision": v.Answer.FORGET,
                "channel": "letter",
                "request_id": REQUEST,
                "ways": "cd" * 32,
                "by": "Żaneta’s sister",
                "version": 2,
            },
            {"person_id": None, "state": v.State.SCHEDULED, "decision": None, "ways": None, "by": None},
        ],
    ),
    "clock_runs": Reading(read=_clock_run, told=[True, WHEN + timedelta(days=1)]),
    "helpline_calls": Reading(
        read=lambda o, row: dict(o.stores.helpline_calls.by_month())[row["_id"]],
        told=[1, 2],
    ),
    "requests": Reading(
        read=lambda o, row: o.stores.request(row["_id"]),
        save=lambda o, tx, request: o.stores.change_request(tx, request, request),
        told=[
            {
                "status": r.Status.IN_PROGRESS,
                "phase": r.Phase.BEGUN,
                "due_on": date(2026, 3, 17),
                "about": (PARENT, CHILD),
                "attempts": {"case": 1, "document": 2, "consent": 1, "notifier": 1},
                "elsewhere": ("paper.archive", "old_system"),
                "elsewhere_certified": ("old_system",),
                "letter": "sealed",
                "confirmed_by": "worker-2",
                "recorded_by": "worker-1",
                "personal.made_by.name": _NAME,
                "personal.note": "Called twice",
                "version": 2,
            },
            {
                "id": STRIPPED,
                "status": r.Status.COMPLETED,
                "phase": r.Phase.DONE,
                "about": (),
                "recorded_by": None,
                "completed_at": WHEN + timedelta(days=2),
                "personal": {},
            },
            {"id": AFTERWARDS, "case_id": ERASED, "personal.late_reason": "Snow"},
            {"phase": r.Phase.ASKED, "attempts": {}, "personal": {}},
        ],
    ),
    "receipts": Reading(
        read=_receipt,
        told=[
            {
                "attempt": 2,
                "outcome": "erased",
                "stores": [{"store": "people", "found": 3, "deleted": 3, "remaining": 0}],
                "late": [],
                "signed_at": WHEN,
                "last_letter": None,
                "paper": [{"paper_file": PAPER, "method": "shredded", "at": WHEN}],
            },
            {"attempt": 1, "outcome": "nothing_held", "late": ["sealed_letters"], "last_letter": "unknown"},
        ],
    ),
    "holds": Reading(
        read=lambda o, row: _among(o.stores.holds_of(row["case_id"]), row["_id"]),
        told=[
            {
                "ground": "legal_claim",
                "until": date(2027, 1, 31),
                "reason": "A claim – Łukasik v. Council",
                "placed_by": "manager-1",
                "placed_at": WHEN,
            }
        ],
    ),
    "ledger": Reading(
        read=_ledger,
        told=[
            {"count": 3, "before": True, "kind": "erasure"},
            {"count": 3, "before": True, "kind": "withdrawal"},
        ],
    ),
}
