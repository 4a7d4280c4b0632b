"""Reading the consent service's stores."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from services.consent.actions.backups import keys_gone_by
from services.consent.model import requests as r
from services.consent.model import reviews as v
from services.consent.model import tasks as t
from services.consent.model.consents import Ended, Grant
from services.consent.model.organisations import Naming
from services.consent.model.people import CasePerson
from services.consent.model.readings import Reading as ErasureReading
from services.consent.store.helpline import calls_by_month
from services.consent.store.ledger import Ledger
from services.consent.store.ledger_copy import LedgerCopy
from shared.clock import utc_now
from shared.ledger import from_row
from shared.security.signing import PublicKeys
from tests.contracts.stored.ids import (
    AFTERWARDS,
    CASE,
    CHILD,
    CONSENT,
    DOCUMENT,
    ERASED,
    FROZEN,
    PAPER,
    PARENT,
    REQUEST,
    SCHOOL,
    STRIPPED,
    numbered,
)
from tests.contracts.stored.opening import HERE, Opened, Row, rows_of
from tests.contracts.stored.reading import Reading

WHEN = datetime(2026, 3, 14, 9, 26, 53, 589_000, tzinfo=UTC)


def _ledger(opened: Opened, row: Row) -> Any:
    """What it is about isn't entered again, and the entry after it follows from its hash."""
    rows, installed = rows_of(opened, "ledger"), opened.context.public_keys.published("ledger")
    keys = PublicKeys([*installed, json.loads((HERE / "ledger-key.json").read_text())])
    with TemporaryDirectory() as folder:
        LedgerCopy(Path(folder)).put_back(map(from_row, rows.find().sort("_id", 1)), aside="before")
        ledger = Ledger(opened.stores.ledger, opened.context.ledger._signer, keys, copy=Path(folder), published=None)
        for kind, about in ((row["kind"], row["about"]), ("shell_ended", numbered(299))):
            ledger.append(kind=kind, about=about, case_id=numbered(299), at=WHEN, now=utc_now())
    after = rows.find_one({"_id": row["_id"] + 1})
    return rows.count_documents({}), after["before"] == row["hash"]


CONSENT_STORES = {
    "organisations": Reading(told=[{"kind": "school", "name": "Grundschule St. Élodie", "version": 1}, {}]),
    "namings": Reading(
        told=[{"case_id": CASE, "organisation": SCHOOL}],
        samples=[Naming(id=numbered(271), case_id=CASE, organisation=SCHOOL)],
    ),
    "consents": Reading(
        told=[
            {
                "name": "Żaneta Okonkwo-Łukasik",
                "person_id": PARENT,
                "informed_at": WHEN - timedelta(minutes=5),
                "statement_version": 1,
                "grants": (
                    Grant(purpose="casework"),
                    Grant(purpose="obtain_documents", party=SCHOOL, document_kind="ehc_plan"),
                ),
                # Grants of different days are equal.
                "grants.0.until": date(2027, 3, 31),
                "grants.1.until": date(2026, 9, 30),
                "evidence": DOCUMENT,
                "until": date(2027, 3, 31),
            },
            {
                "basis": "Judged competent by the school’s nurse",
                "person_id": None,
                "grants.0.until": None,
                "evidence": None,
                "until": None,
            },
            {
                "for_person_id": CHILD,
                "represented_by": "deputy",
                "how_judged": "Assessed under the 2005 Act",
                "judged_by": "Dr Ève Moreau",
            },
        ],
    ),
    "endings": Reading(
        told=[
            {
                "kind": Ended.WITHDRAWN,
                "grants": (Grant(purpose="email"),),
                "recorded_at": WHEN + timedelta(days=2),
                "by": "Zoë herself",
            },
            {"kind": Ended.SUPERSEDED, "grants": None, "by": None, "superseded_by": CONSENT},
        ],
    ),
    "expiries": Reading(told=[{"consent_id": CONSENT, "on": date(2026, 9, 30)}, {}]),
    "intakes": Reading(
        told=[{"personal.people.0.given_name": "Żaneta", "personal.at": WHEN.isoformat(), "personal.seq": 4}]
    ),
    "rights": Reading(
        told=[
            {"pass_on": date(2026, 6, 27), "passed_at": WHEN, "next_on": date(2034, 9, 1)},
            {"pass_on": None, "passed_at": None, "next_on": None},
        ],
    ),
    "people": Reading(
        told=[
            {"people": (CasePerson(person=CHILD, role="young_person"), CasePerson(person=PARENT, role="parent"))},
            {"people": ()},
        ],
    ),
    "tasks": Reading(
        told=[
            {
                "kind": t.Kind.RIGHTS_PASS,
                "subject_id": CHILD,
                "due_on": date(2026, 4, 1),
                "state": t.State.DONE,
                "done_at": WHEN + timedelta(days=3),
            },
            {"kind": t.Kind.CONSENT_EXPIRED, "subject_id": None, "state": t.State.OPEN, "done_at": None},
        ],
    ),
    "reviews": Reading(
        told=[
            {
                "due_on": date(2027, 3, 14),
                "state": v.State.ANSWERED,
                "handed_at": WHEN + timedelta(days=1),
                "unreached": True,
                "decision": v.Answer.FORGET,
                "ways": "cd" * 32,
                "by": "Żaneta’s sister",
                "version": 2,
            },
            {"person_id": None, "state": v.State.SCHEDULED, "decision": None, "ways": None, "by": None},
        ],
    ),
    "clock_runs": Reading(told=[{"at": WHEN, "confirmed_by": "manager-1"}, {"at": WHEN + timedelta(days=1)}]),
    "helpline_calls": Reading(
        read=lambda o, row: dict(calls_by_month(o.stores.helpline_calls))[row["_id"]], told=[1, 2]
    ),
    "archives": Reading(
        read=lambda o, row: keys_gone_by(o.stores, destroyed_at=row["began_at"], now=WHEN),
        told=[WHEN + timedelta(hours=2), WHEN + timedelta(hours=2)],
        samples=[
            {
                "_id": f"{kind}-20260314T092653589Z-20260314T112653589Z.fmn",
                "kind": kind,
                "folder": "0b" * 32,
                "began_at": WHEN,
                "until": WHEN + timedelta(hours=2),
                "gone_at": None,
            }
            for kind in ("data", "keys")
        ],
    ),
    "requests": Reading(
        told=[
            {
                "status": r.Status.IN_PROGRESS,
                "phase": r.Phase.BEGUN,
                "due_on": date(2026, 3, 17),
                "about": (PARENT, CHILD),
                "attempts": {"case": 1, "document": 2, "consent": 1, "notifier": 1},
                "elsewhere": ("paper.archive", "old_system"),
                "elsewhere_certified": ("old_system",),
                "personal.made_by.person_id": PARENT,
                "personal.note": "Called twice",
                "version": 2,
            },
            {"phase": r.Phase.DONE, "about": (), "completed_at": WHEN + timedelta(days=2), "personal": None},
            {"own_key": True, "personal.late_reason": "Snow"},
            {"phase": r.Phase.ASKED, "attempts": {}, "personal": None},
        ],
    ),
    "receipts": Reading(
        told=[
            {
                "request": STRIPPED,
                "attempt": 2,
                "stores.0": {"store": "people", "found": 3, "deleted": 3, "remaining": 0},
                "signed_at": WHEN,
                "last_letter": None,
                "paper.0": {"paper_file": PAPER, "method": "shredded", "at": WHEN},
                # It lists fewer stores than there are now: its service is asked again, if the request still stands.
                "clean": False,
            },
            {"stores": (), "late": ("sealed_letters",), "last_letter": "unknown"},
        ],
    ),
    "readings": Reading(
        told=[
            {"due_at": WHEN, "next_at": WHEN, "asked_at": None, "found": None, "jws": None, "waits": ()},
            {"asked_at": WHEN, "took_ms": 300, "found": 0, "jws": "a.b.c"},
            {"found": 2, "waits": ("case", "document")},
        ],
        samples=[
            ErasureReading(id=REQUEST, case_id=FROZEN, due_at=WHEN, since=WHEN, next_at=WHEN),
            ErasureReading(
                id=STRIPPED,
                case_id=ERASED,
                due_at=WHEN,
                since=WHEN,
                next_at=WHEN,
                asked_at=WHEN,
                took_ms=300,
                found=0,
                jws="a.b.c",
            ),
            ErasureReading(
                id=AFTERWARDS,
                case_id=ERASED,
                due_at=WHEN,
                since=WHEN,
                next_at=WHEN,
                asked_at=WHEN,
                took_ms=300,
                found=2,
                jws="a.b.c",
                waits=("case", "document"),
            ),
        ],
    ),
    "holds": Reading(told=[{"until": date(2027, 1, 31), "reason": "A claim – Łukasik v. Council", "placed_at": WHEN}]),
    "ledger": Reading(read=_ledger, told=[(7, True)] * 6),
}
