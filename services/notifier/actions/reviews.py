"""Writing to a person about their annual review, once for each time that the consent service asks (P21)."""

from __future__ import annotations

from datetime import datetime

from services.notifier.actions.sending import queue
from services.notifier.letters import latest_version
from services.notifier.model.notifications import Channel, Notification, intent
from services.notifier.store import Stores
from shared.db.unit_of_work import Tx
from shared.ids import new_id


def queue_review_letter(
    stores: Stores,
    tx: Tx,
    *,
    case_id: str,
    person_id: str,
    review: str,
    letter: str,
    round: int,
    asked_at: datetime,
    days: int,
    said_at: datetime,
) -> None:
    """Have one letter of one round of a review sent; asked for again, it is the first. While frozen it waits.

    Its channel is settled when it goes: by consent, and by the ways that are safe.
    """
    tx.enter(case_id, frozen_too=True)
    key = intent(f"review:{review}:{round}", letter, person_id)
    if stores.notifications.exists({"intent": key}, tx=tx):
        return
    new = Notification(
        id=new_id(),
        case_id=case_id,
        person_id=person_id,
        template=letter,
        template_version=latest_version(letter),
        channel=Channel.LETTER,
        intent=key,
        review=review,
        round=round,
        answer_from=asked_at,
        answer_days=days,
        created_at=tx.now,
    )
    queue(stores, tx, new, said_at=said_at)
