"""What the notifier does with what the others say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from services.notifier.actions import case_changes, last_letter_delivery, last_letters, reviews
from services.notifier.model import Outcome
from services.notifier.store import Stores
from services.notifier.store.records import people_in, standing_in
from shared.db.unit_of_work import Tx
from shared.events import Event, case, consent

Handler = Callable[[Tx, Event], None]


def handlers(stores: Stores) -> dict[str, Handler]:
    """Event type -> action; what every service does with a freeze and an erasure comes before it."""

    def on_state(tx: Tx, event: Event) -> None:
        case_changes.hear_state(stores, tx, case_id=event.case, state=event.data["state"], at=event.time)

    def on_people(tx: Tx, event: Event) -> None:
        case_changes.hear_people(stores, tx, case_id=event.case, people=people_in(event.data["people"]))

    def on_consents(tx: Tx, event: Event) -> None:
        standing = standing_in(event.data["standing"])
        case_changes.hear_consents(stores, tx, case_id=event.case, standing=standing, seq=event.seq)

    def on_frozen(tx: Tx, event: Event) -> None:
        case_changes.hear_freeze(stores, tx, case_id=event.case, seq=event.seq, at=event.time)

    def on_stopped(tx: Tx, event: Event) -> None:
        case_changes.hear_stop(stores, tx, case_id=event.case, stopped=event.data["stopped"])

    def on_review(tx: Tx, event: Event) -> None:
        data = event.data
        reviews.hear_review(
            stores,
            tx,
            case_id=event.case,
            person_id=data["person"],
            review=data["review"],
            letter=data["letter"],
            round=data["round"],
            asked_at=datetime.fromisoformat(data["asked_at"]),
            days=data["days"],
        )

    def on_released(tx: Tx, event: Event) -> None:
        case_changes.hear_release(stores, tx, case_id=event.case)

    def on_preparing(tx: Tx, event: Event) -> None:
        last_letters.prepare(
            stores,
            tx,
            request=event.data["request"],
            case_id=event.case,
            asked_at=datetime.fromisoformat(event.data["received_at"]),
        )

    def on_cancelled(tx: Tx, event: Event) -> None:
        last_letters.cancel(stores, tx, request=event.data["request"], case_id=event.case)

    def on_verified(tx: Tx, event: Event) -> None:
        due_at = datetime.fromisoformat(event.data["due_at"])
        last_letter_delivery.verified(stores, tx, request=event.data["request"], case_id=event.case, due_at=due_at)

    def on_settled(tx: Tx, event: Event) -> None:
        outcome = Outcome(event.data["outcome"])
        last_letter_delivery.settle(stores, tx, request=event.data["request"], case_id=event.case, outcome=outcome)

    return {
        case.CREATED.type: on_state,
        case.STATE.type: on_state,
        case.PEOPLE.type: on_people,
        case.STOPPED.type: on_stopped,
        consent.GIVEN.type: on_consents,
        consent.WITHDRAWN.type: on_consents,
        consent.EXPIRED.type: on_consents,
        consent.FROZEN.type: on_frozen,
        consent.RELEASED.type: on_released,
        consent.PREPARING.type: on_preparing,
        consent.CANCELLED.type: on_cancelled,
        consent.VERIFIED.type: on_verified,
        consent.SETTLED.type: on_settled,
        consent.REVIEW_ASKED.type: on_review,
    }
