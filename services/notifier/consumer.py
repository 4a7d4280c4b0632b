"""What the notifier does with the events of the case and consent services."""

from __future__ import annotations

from datetime import datetime

from services.notifier.actions import case_changes, last_letter_delivery, last_letters, reviews
from services.notifier.context import Context
from services.notifier.model.last_letters import Outcome
from services.notifier.model.recipients import KnownPerson
from shared.conversion import from_plain
from shared.db.unit_of_work import Tx
from shared.events import Event
from shared.known_consents import standing_in


def case_state_changed(context: Context, tx: Tx, event: Event) -> None:
    case_changes.record_state(context.stores, tx, case_id=event.case, state=event.data["state"], said_at=event.time)


def people_changed(context: Context, tx: Tx, event: Event) -> None:
    people = from_plain(event.data["people"], tuple[KnownPerson, ...])
    case_changes.record_people(context.stores, tx, case_id=event.case, people=people, said_at=event.time)


def contact_stopped_or_resumed(context: Context, tx: Tx, event: Event) -> None:
    stopped = event.data["stopped"]
    case_changes.record_contact_stop(context.stores, tx, case_id=event.case, stopped=stopped, said_at=event.time)


def consents_changed(context: Context, tx: Tx, event: Event) -> None:
    standing = standing_in(event.data["standing"])
    case_changes.record_consents(
        context.stores, tx, case_id=event.case, standing=standing, seq=event.seq, said_at=event.time
    )


def case_frozen(context: Context, tx: Tx, event: Event) -> None:
    case_changes.record_freeze(context.stores, tx, case_id=event.case, seq=event.seq, said_at=event.time)


def case_released(context: Context, tx: Tx, event: Event) -> None:
    case_changes.record_release(context.stores, tx, case_id=event.case, said_at=event.time)


def last_letter_requested(context: Context, tx: Tx, event: Event) -> None:
    asked_at = datetime.fromisoformat(event.data["received_at"])
    last_letters.prepare(context.stores, tx, request=event.data["request"], case_id=event.case, asked_at=asked_at)


def erasure_cancelled(context: Context, tx: Tx, event: Event) -> None:
    last_letters.cancel(context.stores, tx, request=event.data["request"], case_id=event.case)


def erasure_verified(context: Context, tx: Tx, event: Event) -> None:
    request, due_at = event.data["request"], datetime.fromisoformat(event.data["due_at"])
    last_letter_delivery.start(context.stores, tx, request=request, case_id=event.case, due_at=due_at)


def last_letter_settled(context: Context, tx: Tx, event: Event) -> None:
    request, outcome = event.data["request"], Outcome(event.data["outcome"])
    last_letter_delivery.settle(context.stores, tx, request=request, case_id=event.case, outcome=outcome)


def review_letter_requested(context: Context, tx: Tx, event: Event) -> None:
    data = event.data
    reviews.queue_review_letter(
        context.stores,
        tx,
        case_id=event.case,
        person_id=data["person"],
        review=data["review"],
        letter=data["letter"],
        round=data["round"],
        asked_at=datetime.fromisoformat(data["asked_at"]),
        days=data["days"],
        said_at=event.time,
    )
