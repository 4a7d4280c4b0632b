"""What a restore does in the case service, once a backup is loaded and before anything else runs."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from services.case.actions.people import emit_people
from services.case.actions.safe_contact import emit_stopped
from services.case.context import Context
from services.case.model.cases import SHELL
from services.case.model.safe_contact import RESTORED, Stop
from shared.db.gates import CLOSED
from shared.db.unit_of_work import Tx
from shared.events import case as events

_BY: Final = "system"


def stop_until_confirmed(context: Context, case_id: str, now: datetime) -> bool:
    """Stop contact: how, or whether, this family may be reached was changed after the backup was made.

    A manager lifts it once a person has asked them. False where contact was stopped already, or the case isn't there.
    """
    stores = context.stores

    def act(tx: Tx) -> bool:
        if tx.gates.state(case_id, tx.session) in (None, CLOSED):
            return False
        tx.enter(case_id, frozen_too=True)
        case = stores.cases.get(case_id, tx=tx)
        if case is None or case.state == SHELL or stores.stops.get(case_id, tx=tx) is not None:
            return False
        stores.stops.add(Stop(case_id=case_id, reason=RESTORED, words=None, by=_BY, at=now), tx=tx)
        emit_stopped(stores, case, stopped=True, tx=tx)
        return True

    return stores.unit_of_work.run(act)


def tell_again(context: Context, case_id: str, now: datetime) -> None:
    """Say whole what the case is: what was on its way to the others when the backup was made is lost."""
    stores = context.stores

    def act(tx: Tx) -> None:
        if tx.gates.state(case_id, tx.session) in (None, CLOSED):
            return
        tx.enter(case_id, frozen_too=True)
        case = stores.cases.get(case_id, tx=tx)
        if case is None:
            return
        tx.emit(events.STATE, {"case": case_id, "state": case.state})
        if people := stores.people.of_case(case_id, tx=tx):
            emit_people(stores, case, people, tx=tx)
        if stores.stops.get(case_id, tx=tx) is not None:
            tx.emit(events.STOPPED, {"case": case_id, "stopped": True})

    stores.unit_of_work.run(act)
