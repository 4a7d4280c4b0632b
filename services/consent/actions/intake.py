"""An intake as one act that spans two services, and makes all of it or nothing (docs/decisions/0024).

Everything is checked, then the case service makes the shell, and one transaction here decides: it keeps the consent,
the answer and, sealed, who came. All that is left then is to deliver them to the case service, until it has them.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from services.consent.actions.consents import check_consent, record_consent, require_file
from services.consent.actions.endings import grant_ending
from services.consent.actions.others import Others
from services.consent.actions.rights import refuse_parental_for
from services.consent.context import Context
from services.consent.model.consents import PARENTAL
from services.consent.model.intakes import Intake, PendingIntake, TakenIn
from services.consent.store import Stores
from shared.db.gates import CLOSED
from shared.db.unit_of_work import Tx
from shared.erasure.participant import END_STEP
from shared.errors import ConsentRequired, Erased, Frozen, Invalid, NotFound, Unavailable
from shared.messaging.steps import StepRow
from shared.uk.working_days import london_day

DELIVER_STEP = "deliver_intake"
ABANDON_STEP = "abandon_intake"
#: The process that took it in delivers it at once, within this; the step is for when that failed, or it died.
_TIME_TO_DELIVER = timedelta(seconds=2)
_WHILE_FROZEN = timedelta(minutes=5)
_CANT = "The intake can't be taken in as it stands. Nothing was stored."


def take_in(context: Context, intake: Intake, *, now: datetime) -> TakenIn:
    """Make the case, the consent, its people and wishes; or nothing.

    Once it returns they are the family's file, though the case service may hear of people and wishes later
    (`deliver`). Raises Invalid, ConsentRequired or Conflict before anything was made; after any other error it has been
    taken back, or will be by the worker.
    """
    stores = context.stores
    _check(stores, intake, now)
    try:
        shown = context.calls.post(
            "case", f"/cases/{intake.case_id}/intake/shell", _coming(intake, channel=intake.channel)
        )
        if errors := shown.get("errors"):
            raise Invalid(_CANT, errors=errors)
        taken = TakenIn(
            given=intake.given,
            case=shown["case"],
            people=shown["people"],
            wishes=shown["wishes"],
            etag=shown["etag"],
        )
        return stores.unit_of_work.run(lambda tx: _decide(stores, tx, intake, taken, now))
    except Invalid:
        raise
    except Erased as error:
        abandon(stores, case_id=intake.case_id)
        # Another attempt with this key was given up, and its shell has ended; the next one makes another.
        raise Unavailable("This was begun once before and taken back. Nothing was stored; send it again.") from error
    except Exception:
        abandon(stores, case_id=intake.case_id)
        raise


def _check(stores: Stores, intake: Intake, now: datetime) -> None:
    """All that this service can refuse, before anything is asked or written."""
    others = Others(role_of=intake.role_of, has_document=lambda _: False)
    try:
        check_consent(stores, intake.given, others, now=now)
    except Invalid as wrong:
        errors = {f"consent.{name.replace('person_id', 'person')}": said for name, said in wrong.errors.items()}
        raise Invalid(_CANT, errors=errors) from wrong
    require_file(intake.given.grants)
    if intake.given.capacity == PARENTAL:
        refuse_parental_for(intake.young(today=london_day(now)), now)


def _decide(stores: Stores, tx: Tx, intake: Intake, taken: TakenIn, now: datetime) -> TakenIn:
    """From here on it is made: with this transaction the family's consent stands, and it says who came."""
    case_id = intake.case_id
    tx.enter_or_open(case_id)
    event = record_consent(stores, tx, intake.given, now=now)
    coming = _coming(intake, standing=event.data["standing"], seq=event.seq)
    stores.intakes.add(PendingIntake(case_id=case_id, personal=coming), tx=tx)
    stores.steps.add(tx, DELIVER_STEP, case_id, case_id, tx.now + _TIME_TO_DELIVER)
    return taken


def _coming(intake: Intake, **more: Any) -> dict[str, Any]:
    return {
        "people": [dict(one) for one in intake.people],
        "wishes": [dict(one) for one in intake.wishes],
        "by": intake.given.recorded_by,
        "at": intake.given.recorded_at.isoformat(),
        **more,
    }


def deliver_step(context: Context, step: StepRow) -> datetime | None:
    """See `deliver`. When to try again: an erasure that was asked for may still be settled one way or the other.

    A case that is being erased takes in no one; what was to come goes with it.
    """
    with suppress(NotFound, Erased):
        try:
            deliver(context, case_id=str(step.case_id))
        except (Frozen, ConsentRequired):
            return step.now + _WHILE_FROZEN
    return None


def deliver(context: Context, *, case_id: str) -> None:
    """Hand people and wishes to the case service; nothing where it has them. May be done again.

    Raises what it answers: Frozen while an erasure is asked for, Erased, Unavailable.
    """
    stores = context.stores
    pending = stores.intakes.get(case_id)
    if pending is None:
        return
    context.calls.post("case", f"/cases/{case_id}/intake", pending.personal)

    def act(tx: Tx) -> None:
        tx.enter(case_id, frozen_too=True)
        left = stores.intakes.get(case_id, tx=tx)
        if left is not None:
            stores.intakes.remove(left, tx=tx)

    stores.unit_of_work.run(act)


def abandon(stores: Stores, *, case_id: str) -> None:
    """Take back an intake that failed, unless it was decided after all: no consent can be given to this case any more,
    and the worker ends its shell as soon as the case service answers."""

    def act(tx: Tx) -> None:
        if stores.consents.first({"case_id": case_id}, tx=tx) is not None:
            return
        if tx.gates.state(case_id, tx.session) != CLOSED:
            tx.gates.close(tx.session, case_id)
        stores.steps.add(tx, ABANDON_STEP, case_id, case_id)
        stores.steps.add(tx, END_STEP, case_id, case_id)

    stores.unit_of_work.run(act)


def abandon_step(context: Context, step: StepRow) -> None:
    """End the shell of an intake that was taken back, where there is one."""
    with suppress(NotFound, Erased):
        case_id = str(step.case_id)
        grant = grant_ending(context, case_id=case_id)
        context.calls.post("case", f"/cases/{case_id}/ending", {"grant": grant})
