"""Reading the notifier's stores."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from services.notifier import model as m
from tests.contracts.stored.ids import CARER, CASE, CHILD, CONSENT, ERASED, PARENT, REVIEW, SCHOOL, numbered
from tests.contracts.stored.opening import Opened, Row
from tests.contracts.stored.reading import Reading

WHEN = datetime(2026, 3, 14, 9, 26, 53, 589_000, tzinfo=UTC)
_PDF = b"%PDF-1.7 \x00\xff a letter"
_STANDS = m.Stands(consent=CONSENT, purpose="casework", party=None, document_kind=None, person=PARENT, until=None)


def _notification(opened: Opened, row: Row) -> Any:
    return opened.stores.notification(row["_id"]), opened.stores.content(row["_id"])


def _save_notification(opened: Opened, tx: Any, model: Any) -> None:
    """Once its clear part alone, and once with what was written."""
    found, content = model
    after = opened.stores.change_notification(tx, found, replace(found))
    opened.stores.change_notification(tx, after, after, content)


def _sealed(opened: Opened, row: Row) -> Any:
    return next(letter for letter in opened.stores.sealed_of(row["request"]) if letter.id == row["_id"])


def _save_sealed(opened: Opened, tx: Any, letter: Any) -> None:
    assert opened.stores.move_sealed(tx, letter, state=letter.clear["state"])


NOTIFIER_STORES = {
    "notifications": Reading(
        read=_notification,
        save=_save_notification,
        told=[
            {
                "0.person_id": PARENT,
                "0.template": "review",
                "0.template_version": 2,
                "0.channel": m.Channel.LETTER,
                "0.status": m.Status.RETURNED,
                "0.reason": m.Reason.CAME_BACK,
                "0.intent": m.intent("review", "review", PARENT),
                "0.review": REVIEW,
                "0.round": 2,
                "0.answer_from": WHEN + timedelta(days=1),
                "0.answer_days": 28,
                "0.asked": m.Channel.EMAIL,
                "0.mailbox_refused": True,
                "0.done_at": WHEN + timedelta(minutes=2),
                "1.values": {"reference": "K7MW-3FQA", "answer_before": WHEN, "name": "Żaneta"},
                "1.pdf": _PDF,
                "1.email": None,
            },
            {
                "0.channel": m.Channel.EMAIL,
                "0.status": m.Status.SENDING,
                "0.reason": None,
                "0.intent": None,
                "0.asked": None,
                "0.attempt": numbered(699),
                "1.values": {"purposes": [{"purpose": "share"}]},
                "1.pdf": None,
                "1.email": {"to": "ada@family.example", "subject": "Grüße", "text": "Dear Ada 🙂"},
            },
            {"0.person_id": CARER, "0.status": m.Status.CREATED, "0.sending_at": None, "1": m.NOTHING_KEPT},
        ],
    ),
    "projections": Reading(
        read=lambda o, row: o.stores.projection(row["case_id"]),
        save=lambda o, tx, case: o.stores.put_projection(tx, case),
        told=[
            {
                "state": "open",
                "opened_at": WHEN,
                "people": (
                    m.Known(person=PARENT, role="parent", post=True, email=False),
                    m.Known(person=CHILD, role="young_person", post=False, email=True),
                ),
                "standing": (_STANDS,),
                "before": (
                    _STANDS,
                    m.Stands(
                        consent=CONSENT,
                        purpose="obtain_documents",
                        party=SCHOOL,
                        document_kind="ehc_plan",
                        person=None,
                        until=datetime(2027, 3, 31, 22, 59, 59, tzinfo=UTC),
                    ),
                ),
                "frozen_seq": 12,
                "frozen_at": WHEN + timedelta(days=1),
                "stopped": True,
            },
            {"state": None, "people": (), "standing": (), "before": None, "frozen_seq": None, "stopped": False},
        ],
    ),
    "sealed_letters": Reading(
        read=_sealed,
        save=_save_sealed,
        told=[
            {
                "clear.person_id": PARENT,
                "clear.channel": "letter",
                "clear.state": "sealed",
                "clear.attempt": None,
                "personal.name": "Żaneta Okonkwo-Łukasik",
                "personal.address": ["14 Dolphin Terrace", "SW1A 1AA"],
                "personal.pdf": _PDF,
            },
            {
                "clear.person_id": CARER,
                "clear.channel": "email",
                "clear.state": "sending",
                "clear.attempt": numbered(698),
                "personal.email.subject": "Forgotten",
            },
        ],
    ),
    "last_letters": Reading(
        read=lambda o, row: o.stores.last_letter(row["_id"]),
        save=lambda o, tx, row: o.stores.put_last_letter(tx, row["_id"], row["case_id"], state=row["state"]),
        told=[
            {"case_id": CASE, "state": "asked", "asked_at": WHEN, "ended": [], "tries": 0, "due_at": None},
            {
                "case_id": ERASED,
                "state": "sealed",
                "ended": ["undeliverable"],
                "tries": 2,
                "due_at": WHEN + timedelta(days=3),
            },
        ],
    ),
    "alerts": Reading(
        read=lambda o, row: o.stores.alerts.get(row["_id"]),
        told=[{"tries": 0, "sent_at": None}, {"tries": 2, "sent_at": WHEN}],
    ),
}
