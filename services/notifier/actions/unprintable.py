"""Telling the consent service which letters of a case can't be printed: it opens and settles tasks about them."""

from __future__ import annotations

from services.notifier.model.notifications import Notification, Reason, Status, is_unprintable
from services.notifier.store import Stores
from shared.db.unit_of_work import Tx
from shared.events.notification import UNPRINTABLE


def emit_unprintable(stores: Stores, tx: Tx, *, before: Notification, after: Notification) -> None:
    """Emit all letters of the case that are held because no font can print them, where this one is so now, or was.

    Both are of one notification, which has been saved.
    """
    if is_unprintable(before) == is_unprintable(after):
        return
    held = {
        "case_id": after.case_id,
        "status": Status.NEEDS_ATTENTION,
        "reason": Reason.SCRIPT_NOT_PRINTABLE,
    }
    letters = [
        {"notification": one.id, "held_at": (one.done_at or tx.now).isoformat()}
        for one in stores.notifications.find(held, tx=tx)
    ]
    tx.emit(UNPRINTABLE, {"case": after.case_id, "letters": letters})
