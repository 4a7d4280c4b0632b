"""Telling the consent service whether a letter of an annual review reached the person (P22)."""

from __future__ import annotations

from typing import Final

from services.notifier.model.notifications import Notification, Reason, Status
from shared.db.unit_of_work import Tx
from shared.events import EventType, notification

_EVENTS: Final[dict[Status, EventType]] = {
    Status.DELIVERED: notification.HANDED_OVER,
    Status.FAILED: notification.FAILED,
    Status.CANCELLED: notification.FAILED,
    Status.NEEDS_ATTENTION: notification.FAILED,
    Status.RETURNED: notification.RETURNED,
}


def emit_review_outcome(tx: Tx, after: Notification) -> None:
    """Emit its new status, where it is about a review and the status is an outcome.

    Not where all contact has stopped: the consent service hears of that itself, and asks anew when it goes on.
    """
    event_type = _EVENTS.get(after.status)
    if event_type is None or after.review is None or after.reason is Reason.CONTACT_STOPPED:
        return
    tx.emit(
        event_type,
        {
            "case": after.case_id,
            "notification": after.id,
            "review": after.review,
            "letter": after.template,
            "round": after.round or 1,
            "at": (after.done_at or tx.now).isoformat(),
        },
    )
