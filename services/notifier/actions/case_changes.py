"""What the notifier does with what it hears of a case: remember it, and welcome whom it can now reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from services.notifier import model as m
from services.notifier.actions import last_letter_delivery
from services.notifier.letters import latest_version
from shared.db.gates import OPEN
from shared.db.unit_of_work import Tx
from shared.ids import new_id

if TYPE_CHECKING:
    from services.notifier.store import Stores

SEND_STEP = "send_notification"
_OPENING = "opening"


def hear_state(stores: Stores, tx: Tx, *, case_id: str, state: str, at: datetime) -> None:
    """The case is now in this state; `at` is when that began."""
    case = _enter(stores, tx, case_id)
    opened_at = case.opened_at or (at if state == "open" else None)
    _remember(stores, tx, replace(case, state=state, opened_at=opened_at))


def hear_people(stores: Stores, tx: Tx, *, case_id: str, people: Sequence[m.Known]) -> None:
    """These are the people of the case, in the order they were added."""
    _remember(stores, tx, replace(_enter(stores, tx, case_id), people=tuple(people)))


def hear_consents(stores: Stores, tx: Tx, *, case_id: str, standing: Sequence[m.Stands], seq: int) -> None:
    """This is all that is agreed to. seq: the consent service's count, which says what came before a freeze."""
    case = replace(_enter(stores, tx, case_id), standing=tuple(standing))
    if case.frozen_seq is not None and seq < case.frozen_seq:
        case = replace(case, before=case.standing)
    # What waits for a server that is away is looked at again now: it may not be wanted any more.
    _look_again(stores, tx, case_id)
    _remember(stores, tx, case)


def hear_freeze(stores: Stores, tx: Tx, *, case_id: str, seq: int, at: datetime) -> None:
    """An erasure was asked for: the last letter goes by the consents as they stand now. The gate is frozen already."""
    case = _enter(stores, tx, case_id)
    if case.before is None:
        stores.put_projection(tx, replace(case, before=case.standing, frozen_seq=seq, frozen_at=at))


def hear_release(stores: Stores, tx: Tx, *, case_id: str) -> None:
    """No erasure is asked for any more: what waited goes on. The gate is open already."""
    case = _enter(stores, tx, case_id)
    _look_again(stores, tx, case_id)
    _remember(stores, tx, replace(case, before=None, frozen_seq=None, frozen_at=None))


def hear_stop(stores: Stores, tx: Tx, *, case_id: str, stopped: bool) -> None:
    """All contact with the family has stopped, and what is queued is cancelled; or it goes on again."""
    case = replace(_enter(stores, tx, case_id), stopped=stopped)
    if stopped:
        for waiting in stores.notifications_of(case_id, tx):
            if waiting.status is m.Status.CREATED:
                over = replace(waiting, status=m.Status.CANCELLED, reason=m.Reason.CONTACT_STOPPED, done_at=tx.now)
                stores.change_notification(tx, waiting, over, m.NOTHING_KEPT)
        for request in stores.sealed_requests(case_id, tx):
            last_letter_delivery.settle(stores, tx, request=request, case_id=case_id, outcome=m.Outcome.NOBODY)
    _remember(stores, tx, case)


def _look_again(stores: Stores, tx: Tx, case_id: str) -> None:
    for waiting in stores.notifications_of(case_id, tx):
        if waiting.status is m.Status.CREATED:
            stores.steps.add(tx, SEND_STEP, waiting.id, case_id)


def _enter(stores: Stores, tx: Tx, case_id: str) -> m.Projection:
    tx.enter(case_id, frozen_too=True)
    return stores.projection(case_id, tx)


def _remember(stores: Stores, tx: Tx, case: m.Projection) -> None:
    stores.put_projection(tx, case)
    if tx.gates.state(case.case_id, tx.session) == OPEN:
        _welcome(stores, tx, case)


def _welcome(stores: Stores, tx: Tx, case: m.Projection) -> None:
    """An opening letter for each adult it is due to who has none yet (API.md, Notifier)."""
    for person_id, channel in m.to_be_welcomed(case, tx.now):
        intent = m.intent(_OPENING, _OPENING, person_id)
        before = stores.by_intent(tx, intent)
        if before is None:
            new = m.Notification(
                id=new_id(),
                case_id=case.case_id,
                person_id=person_id,
                template=_OPENING,
                template_version=latest_version(_OPENING),
                channel=channel,
                status=m.Status.CREATED,
                intent=intent,
                created_at=tx.now,
            )
            stores.add_notification(tx, new)
        elif before.status is m.Status.CANCELLED and before.reason in m.REVIVABLE:
            new = replace(before, status=m.Status.CREATED, reason=None, channel=channel, done_at=None)
            stores.change_notification(tx, before, new)
        else:
            continue
        stores.steps.add(tx, SEND_STEP, new.id, case.case_id)
