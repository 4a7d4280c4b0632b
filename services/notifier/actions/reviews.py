"""Writing to somebody about their annual review, once for each time that the consent service asks (P21)."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from services.notifier import model as m
from services.notifier.actions.case_changes import SEND_STEP
from services.notifier.letters import latest_version
from shared.db.unit_of_work import Tx
from shared.ids import new_id

if TYPE_CHECKING:
    from services.notifier.store import Stores


def hear_review(
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
) -> None:
    """Have one letter of one round of a review sent; the same one again is the first. Frozen: it waits.

    How it goes is settled when it does: by consent, and by the ways that are safe.
    """
    tx.enter(case_id, frozen_too=True)
    intent = m.intent(f"review:{review}:{round}", letter, person_id)
    if stores.by_intent(tx, intent) is not None:
        return
    new = m.Notification(
        id=new_id(),
        case_id=case_id,
        person_id=person_id,
        template=letter,
        template_version=latest_version(letter),
        channel=m.Channel.LETTER,
        status=m.Status.CREATED,
        intent=intent,
        review=review,
        round=round,
        answer_from=asked_at,
        answer_days=days,
        created_at=tx.now,
    )
    stores.add_notification(tx, new)
    stores.steps.add(tx, SEND_STEP, new.id, case_id)
