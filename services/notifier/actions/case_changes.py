"""What the notifier does with changes of a case: it records them, and queues opening letters that are now due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from services.notifier.actions import last_letter_delivery
from services.notifier.actions.sending import SEND_STEP, change_status, is_of_before_restore, queue
from services.notifier.letters import latest_version
from services.notifier.model.last_letters import LetterState, Outcome
from services.notifier.model.notifications import (
    REVIVABLE,
    Notification,
    Reason,
    Status,
    intent,
    is_unprintable,
    may_go,
)
from services.notifier.model.recipients import KnownCase, KnownPerson, due_an_opening_letter
from services.notifier.store import Stores
from shared.db.gates import OPEN
from shared.db.unit_of_work import Tx
from shared.ids import new_id
from shared.known_consents import StandingConsent

_OPENING: Final = "opening"


def record_state(stores: Stores, tx: Tx, *, case_id: str, state: str, said_at: datetime) -> None:
    """The case is now in this state. said_at: when that was recorded."""
    case = _enter(stores, tx, case_id)
    opened_at = case.opened_at or (said_at if state == "open" else None)
    _save(stores, tx, replace(case, state=state, opened_at=opened_at), said_at)


def record_people(stores: Stores, tx: Tx, *, case_id: str, people: Sequence[KnownPerson], said_at: datetime) -> None:
    """These are the people of the case, in the order they were added."""
    before = _enter(stores, tx, case_id)
    gone = {one.person for one in before.people} - {one.person for one in people}
    if gone and stores.notifications.exists({"case_id": case_id, "person_id": {"$in": sorted(gone)}}, tx=tx):
        # What was written to them is destroyed once it has gone, but the operation log has it still.
        tx.renew_key(case_id)
    # A name or an address may have been changed to one that can be printed.
    for held in filter(is_unprintable, _waiting(stores, tx, case_id)):
        stores.steps.add(tx, SEND_STEP, held.id, case_id)
    _save(stores, tx, replace(before, people=tuple(people)), said_at)


def record_consents(
    stores: Stores, tx: Tx, *, case_id: str, standing: Sequence[StandingConsent], seq: int, said_at: datetime
) -> None:
    """This is all that is agreed to. seq: the consent service's count, which tells what came before a freeze."""
    case = replace(_enter(stores, tx, case_id), standing=tuple(standing))
    if case.frozen_seq is not None and seq < case.frozen_seq:
        case = replace(case, before=case.standing)
    # What waits for a server that is away is checked again now: it may not be wanted any more.
    _retry_waiting(stores, tx, case_id)
    _save(stores, tx, case, said_at)


def record_freeze(stores: Stores, tx: Tx, *, case_id: str, seq: int, said_at: datetime) -> None:
    """An erasure was asked for: the last letter goes by the consents as they stand now. The gate is frozen already."""
    case = _enter(stores, tx, case_id)
    if case.before is None:
        _save(stores, tx, replace(case, before=case.standing, frozen_seq=seq, frozen_at=said_at), said_at)


def record_release(stores: Stores, tx: Tx, *, case_id: str, said_at: datetime) -> None:
    """No erasure is asked for any more: what waited goes on. The gate is open already."""
    case = _enter(stores, tx, case_id)
    _retry_waiting(stores, tx, case_id)
    _save(stores, tx, replace(case, before=None, frozen_seq=None, frozen_at=None), said_at)


def record_contact_stop(stores: Stores, tx: Tx, *, case_id: str, stopped: bool, said_at: datetime) -> None:
    """All contact with the family has stopped, and what is queued is cancelled; or it goes on again."""
    case = replace(_enter(stores, tx, case_id), stopped=stopped)
    if stopped:
        for waiting in _waiting(stores, tx, case_id):
            change_status(stores, tx, waiting, Status.CANCELLED, Reason.CONTACT_STOPPED)
        sealed = {"case_id": case_id, "state": LetterState.SEALED}
        for letter in stores.last_letters.find(sealed, tx=tx):
            last_letter_delivery.settle(stores, tx, request=letter.id, case_id=case_id, outcome=Outcome.NOBODY)
    _save(stores, tx, case, said_at)


def _enter(stores: Stores, tx: Tx, case_id: str) -> KnownCase:
    tx.enter(case_id, frozen_too=True)
    return stores.known_cases.get(case_id, tx=tx) or KnownCase(case_id=case_id)


def _save(stores: Stores, tx: Tx, case: KnownCase, said_at: datetime) -> None:
    """Write it, with the letters that are due now. said_at: of the event that changed it."""
    write = stores.known_cases.save if case.version else stores.known_cases.add
    write(case, tx=tx)
    if tx.gates.state(case.case_id, tx.session) == OPEN:
        _queue_opening_letters(stores, tx, case, said_at)


def _waiting(stores: Stores, tx: Tx, case_id: str) -> list[Notification]:
    statuses = {"case_id": case_id, "status": {"$in": [Status.CREATED, Status.NEEDS_ATTENTION]}}
    return [one for one in stores.notifications.find(statuses, tx=tx) if may_go(one)]


def _retry_waiting(stores: Stores, tx: Tx, case_id: str) -> None:
    for waiting in _waiting(stores, tx, case_id):
        stores.steps.add(tx, SEND_STEP, waiting.id, case_id)


def _queue_opening_letters(stores: Stores, tx: Tx, case: KnownCase, said_at: datetime) -> None:
    """An opening letter for each adult who is due one and has none yet."""
    for person_id, channel in due_an_opening_letter(case, tx.now):
        key = intent(_OPENING, _OPENING, person_id)
        found = stores.notifications.first({"intent": key}, tx=tx)
        if found is None:
            new = Notification(
                id=new_id(),
                case_id=case.case_id,
                person_id=person_id,
                template=_OPENING,
                template_version=latest_version(_OPENING),
                channel=channel,
                intent=key,
                created_at=tx.now,
            )
            queue(stores, tx, new, said_at=said_at)
        elif found.status is Status.CANCELLED and found.reason in REVIVABLE:
            if is_of_before_restore(stores, said_at):
                change_status(stores, tx, replace(found, channel=channel), Status.NEEDS_ATTENTION, Reason.RESTORED)
                continue
            change_status(stores, tx, replace(found, channel=channel), Status.CREATED)
            stores.steps.add(tx, SEND_STEP, found.id, case.case_id)
