"""What the consent service does with what others say, in the transaction that remembers the event."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from services.consent.actions import erasure_receipts, ledger, review_letters, reviews, rights, tasks
from services.consent.context import Context
from services.consent.model.people import CasePerson
from services.consent.model.tasks import Kind
from services.consent.store import queries
from shared.db.unit_of_work import Tx
from shared.events import Event
from shared.ledger import CONTACT_CHANGED


def people_changed(context: Context, tx: Tx, event: Event) -> None:
    stores, told = context.stores, event.data["people"]
    tx.enter(event.case, frozen_too=True)
    tasks.open_calls(stores, tx, event.case, told)
    known = queries.people_of(stores, event.case, tx=tx)
    if known.ids - {one["person"] for one in told}:
        # An intake's answer shows its people, and its id is the case's.
        context.forget_answers(tx, case_id=event.case, record=event.case)
        # So does what the operation log keeps of the intake.
        tx.renew_key(event.case)
    now = replace(known, people=tuple(CasePerson(person=one["person"], role=one["role"]) for one in told))
    if known.version:
        stores.people.save(now, tx=tx)
    else:
        stores.people.add(now, tx=tx)
    rights.schedule_reckoning(stores, tx, event.case, told)
    reviews.schedule_unreached(stores, tx, event.case)


def contact_stopped(context: Context, tx: Tx, event: Event) -> None:
    """Or goes on again."""
    stopped = event.data["stopped"]
    reviews.record_contact_stop(context.stores, tx, case_id=event.case, stopped=stopped, at=event.time)


def contact_changed(context: Context, tx: Tx, event: Event) -> None:
    """One entry in the ledger for each event: a restore must know that an older backup's addresses may be wrong."""
    tx.enter(event.case, frozen_too=True)
    ledger.enter(context.stores, tx, CONTACT_CHANGED, event.id, event.case)


def letter_handed_over(context: Context, tx: Tx, event: Event) -> None:
    report = review_letters.letter_report(event.data)
    review_letters.record_hand_over(context.stores, tx, context.windows, case_id=event.case, report=report)


def letter_failed(context: Context, tx: Tx, event: Event) -> None:
    report = review_letters.letter_report(event.data)
    review_letters.record_failure(context.stores, tx, case_id=event.case, report=report)


def letter_returned(context: Context, tx: Tx, event: Event) -> None:
    report = review_letters.letter_report(event.data)
    review_letters.record_return(context.stores, tx, context.windows, case_id=event.case, report=report)


def letters_unprintable(context: Context, tx: Tx, event: Event) -> None:
    tx.enter(event.case, frozen_too=True)
    held = {str(one["notification"]): datetime.fromisoformat(one["held_at"]) for one in event.data["letters"]}
    tasks.keep_open(context.stores, tx, event.case, Kind.LETTER_NOT_PRINTABLE, held)


def quarantine_changed(context: Context, tx: Tx, event: Event) -> None:
    tx.enter(event.case, frozen_too=True)
    since = {str(one["document"]): datetime.fromisoformat(one["since"]) for one in event.data["documents"]}
    tasks.keep_open(context.stores, tx, event.case, Kind.QUARANTINED_DOCUMENT, since)


def last_letter_sealed(context: Context, tx: Tx, event: Event) -> None:
    erasure_receipts.letter_sealed(
        context.stores,
        tx,
        request_id=str(event.data["request"]),
        case_id=event.case,
        outcome=str(event.data["outcome"]),
    )


def receipt_sent(context: Context, tx: Tx, event: Event) -> None:
    erasure_receipts.take_receipt(
        context.stores,
        tx,
        context.public_keys,
        event=event,
        request_id=str(event.data["request"]),
        service=str(event.data["service"]),
        jws=str(event.data["receipt"]),
    )
