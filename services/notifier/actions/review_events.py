"""Telling the consent service whether a letter of an annual review reached anybody (P22)."""

from __future__ import annotations

from services.notifier import model as m
from shared.db.unit_of_work import Tx
from shared.events import EventType, notification

_TOLD: dict[m.Status, EventType] = {
    m.Status.DELIVERED: notification.HANDED_OVER,
    m.Status.FAILED: notification.FAILED,
    m.Status.CANCELLED: notification.FAILED,
    m.Status.NEEDS_ATTENTION: notification.FAILED,
    m.Status.RETURNED: notification.RETURNED,
}


def tell_of_review(tx: Tx, after: m.Notification) -> None:
    """Say how it now stands, where it is about a review and something has come of it.

    Not where all contact has stopped: the consent service hears of that itself, and asks anew when it goes on.
    """
    told = _TOLD.get(after.status)
    if told is None or after.review is None or after.reason is m.Reason.CONTACT_STOPPED:
        return
    tx.emit(
        told,
        {
            "case": after.case_id,
            "notification": after.id,
            "review": after.review,
            "letter": after.template,
            "round": after.round or 1,
            "at": (after.done_at or tx.now).isoformat(),
        },
    )
