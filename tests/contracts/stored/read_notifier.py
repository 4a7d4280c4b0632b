"""Reading the notifier's stores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.notifier.model import last_letters as ll
from services.notifier.model import notifications as n
from services.notifier.model.recipients import KnownPerson
from shared.known_consents import StandingConsent
from tests.contracts.stored.ids import CHILD, CONSENT, PARENT, REVIEW, SCHOOL, numbered
from tests.contracts.stored.opening import rows_of
from tests.contracts.stored.reading import Reading

WHEN = datetime(2026, 3, 14, 9, 26, 53, 589_000, tzinfo=UTC)
_PDF = b"%PDF-1.7 \x00\xff a letter"
_STANDS = StandingConsent(consent=CONSENT, purpose="casework", person=PARENT)


NOTIFIER_STORES = {
    "notifications": Reading(
        told=[
            {
                "channel": n.Channel.LETTER,
                "status": n.Status.RETURNED,
                "reason": n.Reason.CAME_BACK,
                "intent": n.intent("review", "review", PARENT),
                "review": REVIEW,
                "answer_from": WHEN + timedelta(days=1),
                "asked": n.Channel.EMAIL,
                "mailbox_refused": True,
                "personal": n.Content(
                    values={"reference": "K7MW-3FQA", "answer_before": WHEN, "name": "Żaneta"}, pdf=_PDF
                ),
            },
            {
                "intent": None,
                "attempt": numbered(699),
                "personal": n.Content(
                    values={"purposes": [{"purpose": "share"}]},
                    email={"to": "ada@family.example", "subject": "Grüße", "text": "Dear Ada 🙂"},
                ),
            },
            {"status": n.Status.CREATED, "asked": None, "sending_at": None, "personal": n.NOTHING_KEPT},
        ],
    ),
    "projections": Reading(
        told=[
            {
                "state": "open",
                "opened_at": WHEN,
                "people": (
                    KnownPerson(person=PARENT, role="parent", post=True, email=False),
                    KnownPerson(person=CHILD, role="young_person", post=False, email=True),
                ),
                "standing": (_STANDS,),
                "before": (
                    _STANDS,
                    StandingConsent(
                        consent=CONSENT,
                        purpose="obtain_documents",
                        party=SCHOOL,
                        document_kind="ehc_plan",
                        until=datetime(2027, 3, 31, 22, 59, 59, tzinfo=UTC),
                    ),
                ),
                "frozen_seq": 12,
                "stopped": True,
            },
            {"state": None, "people": (), "standing": (), "before": None, "stopped": False},
        ],
    ),
    "sealed_letters": Reading(
        told=[
            {
                "channel": n.Channel.LETTER,
                "state": ll.SealedState.SEALED,
                "personal": ll.SealedContent(
                    name="Żaneta Okonkwo-Łukasik", address=("14 Dolphin Terrace", "SW1A 1AA"), pdf=_PDF
                ),
            },
            {
                "state": ll.SealedState.SENDING,
                "attempt": numbered(698),
                "personal.address": (),
                "personal.email.subject": "Forgotten",
            },
        ],
    ),
    "last_letters": Reading(
        told=[
            {"state": ll.LetterState.ASKED, "outcome": None, "asked_at": WHEN, "ended": (), "due_at": None},
            {"ended": (ll.Outcome.UNDELIVERABLE,), "tries": 2, "due_at": WHEN + timedelta(days=3)},
        ],
    ),
    "alerts": Reading(
        read=lambda o, row: rows_of(o, "alerts").find_one({"_id": row["_id"]}),
        told=[{"tries": 0, "sent_at": None}, {"tries": 2, "sent_at": WHEN}],
    ),
    "ledger_heads": Reading(
        read=lambda o, row: rows_of(o, "ledger_heads").find_one({"_id": row["_id"]}),
        told=[{"head": "a.b.c", "tries": 3, "sent_at": None}, {"head": "a.b.d", "tries": 0, "sent_at": WHEN}],
        samples=[
            {"_id": "2026-03-14", "head": "a.b.c", "at": WHEN, "tries": 3, "sent_at": None},
            {"_id": "2026-03-15", "head": "a.b.d", "at": WHEN, "tries": 0, "sent_at": WHEN},
        ],
    ),
}
