"""Records of the notifier, written through its stores (see make.py)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.notifier import model as m
from services.notifier.actions.last_letters import letter_key
from shared.db.unit_of_work import Tx
from tests.contracts.stored.ids import (
    CARER,
    CASE,
    CHILD,
    CONSENT,
    ERASED,
    FROZEN,
    PARENT,
    REQUEST,
    REVIEW,
    SCHOOL,
    STRIPPED,
    numbered,
)
from tests.contracts.stored.opening import Opened

WHEN = datetime(2026, 3, 14, 9, 26, 53, 589_000, tzinfo=UTC)
PDF = b"%PDF-1.7 \x00\xff a letter"


def write_notifier(opened: Opened) -> None:
    kit, stores = opened.kit, opened.stores
    kit.vault.create_key(letter_key(STRIPPED))

    def act(tx: Tx) -> None:
        _notifications(opened, tx)
        stores.put_projection(tx, m.Projection(case_id=FROZEN))
        stores.put_projection(tx, m.Projection(case_id=CASE))
        stores.put_projection(tx, _projection())
        _last_letters(opened, tx)
        stores.alerts.add(tx, numbered(131))
        stores.alerts.add(tx, numbered(132))

    kit.unit_of_work.run(act, answers=False)
    stores.alerts.tried(numbered(132))
    stores.alerts.tried(numbered(132))
    stores.alerts.sent(numbered(132), WHEN)


def _notifications(opened: Opened, tx: Tx) -> None:
    stores = opened.stores
    review = m.Notification(
        id=numbered(601),
        case_id=CASE,
        person_id=PARENT,
        template="review",
        template_version=2,
        channel=m.Channel.LETTER,
        status=m.Status.CREATED,
        created_at=WHEN,
        intent=m.intent("review", "review", PARENT),
        review=REVIEW,
        round=2,
        answer_from=WHEN + timedelta(days=1),
        answer_days=28,
        asked=m.Channel.EMAIL,
    )
    values = {"reference": "K7MW-3FQA", "answer_before": WHEN, "name": "Żaneta"}
    stores.add_notification(tx, review, m.Content(values=values))
    returned = replace(
        review,
        status=m.Status.RETURNED,
        reason=m.Reason.CAME_BACK,
        mailbox_refused=True,
        sending_at=WHEN + timedelta(minutes=1),
        done_at=WHEN + timedelta(minutes=2),
    )
    stores.change_notification(tx, review, returned, m.Content(values=values, pdf=PDF))
    sending = m.Notification(
        id=numbered(602),
        case_id=CASE,
        person_id=CARER,
        template="opening",
        template_version=1,
        channel=m.Channel.EMAIL,
        status=m.Status.SENDING,
        created_at=WHEN,
        attempt=numbered(699),
        sending_at=WHEN,
    )
    email = {"to": "ada@family.example", "subject": "Grüße", "text": "Dear Ada 🙂"}
    stores.add_notification(tx, sending, m.Content(values={"purposes": [{"purpose": "share"}]}, email=email))
    bare = replace(sending, id=numbered(603), status=m.Status.CREATED, attempt=None, sending_at=None)
    stores.add_notification(tx, bare)


def _projection() -> m.Projection:
    stands = m.Stands(consent=CONSENT, purpose="casework", party=None, document_kind=None, person=PARENT, until=None)
    limited = m.Stands(
        consent=CONSENT,
        purpose="obtain_documents",
        party=SCHOOL,
        document_kind="ehc_plan",
        person=None,
        until=datetime(2027, 3, 31, 22, 59, 59, tzinfo=UTC),
    )
    return m.Projection(
        case_id=CASE,
        state="open",
        opened_at=WHEN,
        people=(
            m.Known(person=PARENT, role="parent", post=True, email=False),
            m.Known(person=CHILD, role="young_person", post=False, email=True),
        ),
        standing=(stands,),
        before=(stands, limited),
        frozen_seq=12,
        frozen_at=WHEN + timedelta(days=1),
        stopped=True,
    )


def _last_letters(opened: Opened, tx: Tx) -> None:
    stores = opened.stores
    stores.put_last_letter(tx, REQUEST, CASE, asked_at=WHEN)
    due = {"state": "sealed", "due_at": WHEN + timedelta(days=3)}
    stores.put_last_letter(tx, STRIPPED, ERASED, **due, tries=2)
    person = {"name": "Żaneta Okonkwo-Łukasik", "address": ["14 Dolphin Terrace", "SW1A 1AA"]}
    email = {"to": "zaneta@family.example", "subject": "Forgotten", "text": "Dear Żaneta"}
    letters = {
        numbered(611): m.LastLetter(person_id=PARENT, channel=m.Channel.LETTER, personal={**person, "pdf": PDF}),
        numbered(612): m.LastLetter(
            person_id=CARER,
            channel=m.Channel.EMAIL,
            personal={"name": "Ada Byron", "address": [], "to": "ada@family.example", "email": email},
        ),
        numbered(613): m.LastLetter(person_id=CHILD, channel=m.Channel.LETTER, personal={**person, "pdf": PDF}),
    }
    for id, letter in letters.items():
        stores.seal(tx, id=id, case_id=ERASED, request=STRIPPED, letter=letter, key=letter_key(STRIPPED))
    _, second, third = stores.sealed_of(STRIPPED, tx)
    stores.move_sealed(tx, second, state="sending", attempt=numbered(698))
    stores.end_sealed(tx, third, STRIPPED, m.Outcome.UNDELIVERABLE)
