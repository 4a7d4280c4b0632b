"""What a restore does in the notifier, once a backup is loaded and before anything else runs: nothing goes by itself.

Whatever waited when the backup was made may have gone since. So a person looks at it.
"""

from __future__ import annotations

from contextlib import suppress

from services.notifier.actions.last_letter_delivery import settle
from services.notifier.actions.sending import change_status
from services.notifier.context import Context
from services.notifier.model.last_letters import Outcome
from services.notifier.model.notifications import Reason, Status
from shared.db.keys.errors import Altered
from shared.db.unit_of_work import Tx


def hold_unfinished(context: Context) -> int:
    """Let a person decide about every notification that hadn't been handed over for certain; how many.

    A letter that no font could print may have been mended since, and sent. One that doesn't open isn't sent anyway, and
    is passed over.
    """
    stores = context.stores
    unprintable = {"status": Status.NEEDS_ATTENTION, "reason": Reason.SCRIPT_NOT_PRINTABLE}
    unfinished = {"$or": [{"status": {"$in": [Status.CREATED, Status.SENDING]}}, unprintable]}
    ids = [str(row["_id"]) for row in stores.notifications.rows.find(unfinished, {"_id": 1})]
    for id in ids:

        def act(tx: Tx, id: str = id) -> None:
            found = stores.notifications.get(id, tx=tx)
            if found is not None:
                tx.gates.touch(tx.session, found.case_id)
                change_status(stores, tx, found, Status.NEEDS_ATTENTION, Reason.RESTORED)

        with suppress(Altered):
            stores.unit_of_work.run(act)
    return len(ids)


def settle_last_letter(context: Context, *, request_id: str, case_id: str) -> None:
    """Destroy what is sealed for an erasure that had begun: whether its last letter went since isn't known."""
    stores = context.stores
    stores.unit_of_work.run(lambda tx: settle(stores, tx, request=request_id, case_id=case_id, outcome=Outcome.UNKNOWN))
