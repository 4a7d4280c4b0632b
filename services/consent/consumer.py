"""What the consent service does with what others say."""

from __future__ import annotations

from collections.abc import Callable

from services.consent.actions.consents import LEDGER_STEP
from services.consent.actions.erasure_receipts import letter_sealed, take_receipt
from services.consent.actions.reviews import (
    hear_failure,
    hear_hand_over,
    hear_return,
    hear_stop,
    heard_in,
    look_again,
)
from services.consent.actions.rights import look_at_people
from services.consent.actions.tasks import call_whom_nothing_reaches
from services.consent.model.reviews import Windows
from services.consent.store import Stores
from shared.db.unit_of_work import Tx
from shared.events import Event, case, erasure, notification
from shared.security.signing import PublicKeys


def handlers(stores: Stores, keys: PublicKeys, windows: Windows) -> dict[str, Callable[[Tx, Event], None]]:
    """Event type to action."""

    def on_people(tx: Tx, event: Event) -> None:
        tx.enter(event.case, frozen_too=True)
        call_whom_nothing_reaches(stores, tx, event.case, event.data["people"])
        stores.put_people(tx, event.case, event.data["people"])
        look_at_people(stores, tx, event.case, event.data["people"])
        look_again(stores, tx, event.case)

    def on_stopped(tx: Tx, event: Event) -> None:
        hear_stop(stores, tx, case_id=event.case, stopped=event.data["stopped"], at=event.time)

    def on_handed_over(tx: Tx, event: Event) -> None:
        hear_hand_over(stores, tx, windows, case_id=event.case, heard=heard_in(event.data))

    def on_failed(tx: Tx, event: Event) -> None:
        hear_failure(stores, tx, case_id=event.case, heard=heard_in(event.data))

    def on_returned(tx: Tx, event: Event) -> None:
        hear_return(stores, tx, windows, case_id=event.case, heard=heard_in(event.data))

    def on_ended(tx: Tx, event: Event) -> None:
        stores.steps.add(tx, LEDGER_STEP, f"shell_ended:{event.case}", event.case)

    def on_sealed(tx: Tx, event: Event) -> None:
        letter_sealed(
            stores,
            tx,
            request_id=str(event.data["request"]),
            case_id=event.case,
            outcome=str(event.data["outcome"]),
        )

    def on_receipt(tx: Tx, event: Event) -> None:
        take_receipt(
            stores,
            tx,
            keys,
            event=event,
            request_id=str(event.data["request"]),
            service=str(event.data["service"]),
            jws=str(event.data["receipt"]),
        )

    return {
        case.PEOPLE.type: on_people,
        case.STOPPED.type: on_stopped,
        case.ENDED.type: on_ended,
        notification.HANDED_OVER.type: on_handed_over,
        notification.FAILED.type: on_failed,
        notification.RETURNED.type: on_returned,
        erasure.LETTER_SEALED.type: on_sealed,
        erasure.RECEIPT.type: on_receipt,
    }
