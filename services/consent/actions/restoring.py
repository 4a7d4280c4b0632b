"""What a restore does in the consent service, once a backup is loaded and before anything else runs.

What the ledger says was begun, withdrawn or ended since the backup is begun, withdrawn and ended again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from services.consent.actions.consents import withdraw
from services.consent.actions.reviews import restart
from services.consent.actions.saga import begin_again
from services.consent.actions.standing_events import emit_standing
from services.consent.context import Context
from services.consent.model.consents import Grant
from services.consent.model.requests import NOT_BEGUN, SYSTEM, Request
from shared import events
from shared.db.gates import CLOSED, OPEN
from shared.db.unit_of_work import Tx
from shared.errors import Conflict, Erased, NotFound
from shared.ids import new_id
from shared.uk.working_days import london_day

_FROM_LEDGER: Final = "the ledger, after a restore"


def resume_erasure(context: Context, request_id: str) -> Request | None:
    """Go on with an erasure that the ledger says had begun, by the ordinary steps; None where the backup lacks the
    request.

    One that was completed since is walked and certified again, so that its certificate is there.
    """
    stores = context.stores

    def act(tx: Tx) -> Request | None:
        request = stores.requests.get(request_id, tx=tx)
        if request is None:
            return None
        tx.gates.touch(tx.session, request.case_id)
        goes_on = request.is_open_erasure and request.phase in NOT_BEGUN
        return begin_again(stores, tx, request) if goes_on else request

    return stores.unit_of_work.run(act)


def withdraw_again(
    context: Context, *, id: str, case_id: str, withdrawn: Mapping[str, Any] | None, at: datetime
) -> bool:
    """End again what was withdrawn; whether anything of it still stood.

    id: of the withdrawal. withdrawn: {consent, grants: [...] | None}, as the ledger has it; None, of an entry that
    doesn't say what: every consent of the case ends.
    """
    stores = context.stores
    if stores.endings.get(id) is not None:
        return False
    ended: list[tuple[str, str, tuple[Grant, ...] | None]]
    if withdrawn is None:
        ended = [(new_id(), consent.id, None) for consent in stores.consents.of_case(case_id)]
    else:
        said = withdrawn["grants"]
        grants = None if said is None else tuple(Grant(**grant) for grant in said)
        ended = [(id, str(withdrawn["consent"]), grants)]
    done = [_withdraw(context, one, consent, grants, at) for one, consent, grants in ended]
    return any(done)


def _withdraw(context: Context, id: str, consent_id: str, grants: tuple[Grant, ...] | None, at: datetime) -> bool:
    consent = context.stores.consents.get(consent_id)
    if consent is None:
        # It was given after the backup, or its case is erased.
        return False
    try:
        withdraw(
            context,
            id=id,
            request_id=new_id(),
            consent_id=consent_id,
            # The ledger doesn't say by which way.
            channel=consent.channel,
            by=_FROM_LEDGER,
            grants=grants,
            recorded_by=SYSTEM,
            now=at,
        )
    except (Conflict, NotFound, Erased):
        return False
    return True


def tell_again(context: Context, case_id: str, now: datetime) -> None:
    """Say whole what stands: what was on its way to the others when the backup was made is lost.

    An annual review that waits for an answer begins anew, since the answer may be lost too, and silence erases.
    """
    stores = context.stores

    def act(tx: Tx) -> None:
        state = tx.gates.state(case_id, tx.session)
        if state in (None, CLOSED):
            return
        tx.enter(case_id, frozen_too=True)
        consents = stores.consents.of_case(case_id, tx=tx)
        if consents:
            today = london_day(now)
            emit_standing(stores, tx, events.consent.GIVEN, case_id=case_id, consent_id=consents[-1].id, today=today)
            restart(context, tx, case_id)
        tx.emit(events.consent.RELEASED if state == OPEN else events.consent.FROZEN, {"case": case_id})

    stores.unit_of_work.run(act)
