"""Shells that end: the consent service says that no one agreed to one, and from then on no one can."""

from __future__ import annotations

from typing import Final

from services.consent.actions.ledger import enter
from services.consent.context import Context
from shared.db.gates import CLOSED
from shared.db.unit_of_work import Tx
from shared.erasure.participant import END_STEP
from shared.errors import Conflict
from shared.ledger import SHELL_ENDED

_AGREED: Final = "The family has agreed to this file, so it doesn't end as a shell does. Nothing was changed."


def grant_ending(context: Context, *, case_id: str) -> str:
    """Close the case here, unless a consent was ever given to it, and sign that it may end everywhere.

    Raises Conflict where a consent was given. May be asked again.
    """
    stores = context.stores

    def act(tx: Tx) -> None:
        if tx.gates.state(case_id, tx.session) == CLOSED:
            return
        if stores.consents.exists({"case_id": case_id}, tx=tx):
            raise Conflict(_AGREED)
        tx.gates.close(tx.session, case_id)
        stores.steps.add(tx, END_STEP, case_id, case_id)
        enter(stores, tx, SHELL_ENDED, case_id, case_id)

    stores.unit_of_work.run(act)
    return stores.grants.ending(case_id=case_id)
