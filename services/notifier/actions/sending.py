"""Sending one notification: checked, written, and handed over once.

`sending` is committed before the hand-over and the outcome after it. A crash in between is never repeated by guess:
it becomes `needs_attention`, unless the printer can tell that it has the letter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from services.notifier.actions import external
from services.notifier.actions.review_events import emit_review_outcome
from services.notifier.actions.unprintable import emit_unprintable
from services.notifier.actions.writing import NOT_WRITABLE, email_to, letter_to, values_for
from services.notifier.context import Context
from services.notifier.letters import Email, NotPrintable
from services.notifier.model.notifications import (
    GONE,
    NOTHING_KEPT,
    Channel,
    Content,
    Notification,
    Reason,
    Status,
    may_go,
)
from services.notifier.model.recipients import Person, people_of
from services.notifier.store import Stores
from services.notifier.transports import Refused, TryAgain, Unknown
from shared.db.gates import OPEN
from shared.db.unit_of_work import Tx
from shared.errors import Erased, Frozen, NotFound, Temporary
from shared.ids import new_id
from shared.known_consents import CASEWORK, EMAIL
from shared.messaging.steps import StepRow
from shared.ops.logs import log, where

SEND_STEP: Final = "send_notification"


def queue(stores: Stores, tx: Tx, new: Notification, *, said_at: datetime | None = None) -> None:
    """Add it, and have it sent. said_at: when the event that asks for it was recorded; None where a person asks.

    What was asked for before a backup was restored may have gone already: a person decides about it.
    """
    if said_at is not None and is_of_before_restore(stores, said_at):
        held = replace(new, status=Status.NEEDS_ATTENTION, reason=Reason.RESTORED, done_at=tx.now)
        stores.notifications.add(held, tx=tx)
        emit_review_outcome(tx, held)
        return
    stores.notifications.add(new, tx=tx)
    stores.steps.add(tx, SEND_STEP, new.id, new.case_id)


def is_of_before_restore(stores: Stores, said_at: datetime) -> bool:
    """Whether an event of that time was recorded before the last restore was done."""
    restored_at = stores.restores.last_at()
    return restored_at is not None and said_at <= restored_at


def change_status(
    stores: Stores, tx: Tx, found: Notification, status: Status, reason: Reason | None = None
) -> Notification:
    """Write its new status, and tell the consent service where it is about a review. Raises Changed.

    What was written is destroyed once it isn't needed any more.
    """
    over = status is not Status.CREATED
    after = replace(
        found,
        status=status,
        reason=reason,
        attempt=found.attempt if over else None,
        done_at=tx.now if over else None,
    )
    emit_review_outcome(tx, after)
    if status in GONE:
        known = stores.known_cases.get(found.case_id, tx=tx)
        if known is not None and found.person_id not in {one.person for one in known.people}:
            # They were deleted from the case while it waited.
            tx.renew_key(found.case_id)
        after = replace(after, personal=NOTHING_KEPT)
    saved = stores.notifications.save(after, tx=tx)
    emit_unprintable(stores, tx, before=found, after=saved)
    return saved


def send(context: Context, step: StepRow) -> datetime | None:
    """Send the notification that the step names, if it still may go. Raises Temporary and Unavailable: later."""
    stores = context.stores
    found = stores.notifications.get(step.key)
    if found is None:
        return None
    if found.status is Status.SENDING:
        _settle_after_crash(context, found)
        return None
    if not may_go(found) or stores.unit_of_work.gates.state(found.case_id) != OPEN:
        # Frozen: what waits goes on when the case is released. Closed: it is about to be erased.
        return None
    try:
        ready = _prepare(context, found, step.now)
    except (Erased, Frozen):
        return None
    return None if ready is None else _hand_over(context, *ready, step.now)


def wait_for_hand_overs(context: Context, case_id: str) -> None:
    """Before anything is erased, hand-overs under way must end. Raises Temporary while there is one."""
    if context.stores.notifications.exists({"case_id": case_id, "status": Status.SENDING}):
        raise Temporary("handing-over")


def channel_for(context: Context, found: Notification, person: Person | None) -> Channel | Reason:
    """How it may go to this person now, or why it may not. Raises as `external.is_allowed` does."""
    if found.review is not None and not external.is_still_asked(context, found.review, found.round):
        # While it waited they answered, or were asked anew.
        return Reason.ANSWERED
    if person is None or not person.is_adult:
        return Reason.NOT_IN_CASE
    if not external.is_allowed(context, found.case_id, person.id, CASEWORK):
        return Reason.NO_CONSENT
    on_purpose = found.asked is Channel.EMAIL
    if not found.mailbox_refused and found.asked is not Channel.LETTER:
        by_email = bool(person.email) if on_purpose else person.takes_email
        if by_email and external.is_allowed(context, found.case_id, person.id, EMAIL):
            return Channel.EMAIL
        if on_purpose:
            return Reason.NO_CONSENT if by_email else Reason.UNREACHABLE
    return Channel.LETTER if person.address else Reason.UNREACHABLE


def _prepare(context: Context, found: Notification, now: datetime) -> tuple[Notification, Person] | None:
    """Check, write and commit `sending`; None when it doesn't go. Raises Erased, Frozen, Temporary, Unavailable."""
    try:
        case = external.read_case(context, found.case_id)
    except NotFound as error:
        raise Temporary("case-not-found") from error
    if case.get("frozen"):
        raise Temporary("frozen")
    person = next((one for one in people_of(case) if one.id == found.person_id), None)
    channel = Reason.CONTACT_STOPPED if case["contact_stopped"] else channel_for(context, found, person)
    if person is None or isinstance(channel, Reason):
        reason = channel if isinstance(channel, Reason) else Reason.NOT_IN_CASE
        _stop(context.stores, found, Status.CANCELLED, reason)
        return None
    try:
        content = _written(context, found, case=case, person=person, channel=channel, now=now)
    except NotPrintable:
        _stop(context.stores, found, Status.NEEDS_ATTENTION, Reason.SCRIPT_NOT_PRINTABLE)
        return None
    except NOT_WRITABLE as error:
        log.error("notification.not_written", record_id=found.id, case_id=found.case_id, **where(error))
        _stop(context.stores, found, Status.FAILED, Reason.NOT_WRITABLE)
        return None
    begun = _begin(context.stores, found, channel, content)
    return None if begun is None else (begun, person)


def _written(
    context: Context,
    found: Notification,
    *,
    case: Mapping[str, Any],
    person: Person,
    channel: Channel,
    now: datetime,
) -> Content:
    values = values_for(context, found, case=case, person=person, now=now)
    template, version = found.template, found.template_version
    if channel is Channel.EMAIL:
        return replace(found.personal, email=email_to(context, person, template, version, values, now=now), pdf=None)
    return replace(found.personal, pdf=letter_to(context, person, template, version, values, now=now), email=None)


def _begin(stores: Stores, found: Notification, channel: Channel, content: Content) -> Notification | None:
    """Commit `sending` through the gate: after a freeze or a close nothing goes out. Raises Frozen, Erased."""
    attempt = new_id()

    def act(tx: Tx) -> Notification | None:
        tx.enter(found.case_id)
        latest = stores.notifications.get(found.id, tx=tx)
        if latest is None or not may_go(latest):
            return None
        begun = replace(
            latest,
            status=Status.SENDING,
            reason=None,
            channel=channel,
            attempt=attempt,
            sending_at=tx.now,
            personal=content,
        )
        saved = stores.notifications.save(begun, tx=tx)
        emit_unprintable(stores, tx, before=latest, after=saved)
        return saved

    return stores.unit_of_work.run(act)


def _hand_over(context: Context, sent: Notification, person: Person, now: datetime) -> datetime | None:
    stores, content = context.stores, sent.personal
    try:
        if sent.channel is Channel.EMAIL:
            email = Email(**content.email or {})
            context.transports.send_email(id=sent.id, to=person.email or "", email=email, now=now)
        else:
            context.transports.print_letter(id=sent.id, pdf=content.pdf or b"")
    except TryAgain as error:
        _settle(stores, sent, Status.CREATED)
        raise Temporary("not-handed-over") from error
    except Refused:
        if person.address:
            # A mailbox that refuses falls back to post, at once.
            _settle(stores, sent, Status.CREATED, mailbox_refused=True)
            return now
        _settle(stores, sent, Status.FAILED, Reason.REFUSED)
    except Unknown:
        _settle(stores, sent, Status.NEEDS_ATTENTION, Reason.HAND_OVER_UNKNOWN)
    else:
        _settle(stores, sent, Status.DELIVERED)
    return None


def _settle_after_crash(context: Context, found: Notification) -> None:
    """Its process died between `sending` and the outcome."""
    if found.channel is Channel.LETTER and context.transports.has_printed(found.id):
        _settle(context.stores, found, Status.DELIVERED)
    else:
        _settle(context.stores, found, Status.NEEDS_ATTENTION, Reason.HAND_OVER_UNKNOWN)


def _settle(
    stores: Stores, sent: Notification, status: Status, reason: Reason | None = None, *, mailbox_refused: bool = False
) -> None:
    """Commit how this hand-over ended, in any state of the gate: the erasure waits for it."""

    def act(tx: Tx) -> None:
        tx.gates.touch(tx.session, sent.case_id)
        latest = stores.notifications.get(sent.id, tx=tx)
        if latest is not None and latest.attempt == sent.attempt:
            refused = latest.mailbox_refused or mailbox_refused
            change_status(stores, tx, replace(latest, mailbox_refused=refused), status, reason)

    stores.unit_of_work.run(act)


def _stop(stores: Stores, found: Notification, status: Status, reason: Reason) -> None:
    """It won't go. Raises Erased or Frozen."""

    def act(tx: Tx) -> None:
        tx.enter(found.case_id)
        latest = stores.notifications.get(found.id, tx=tx)
        if latest is not None and may_go(latest) and (latest.status, latest.reason) != (status, reason):
            change_status(stores, tx, latest, status, reason)

    stores.unit_of_work.run(act)
