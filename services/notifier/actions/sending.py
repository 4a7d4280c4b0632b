"""Sending one notification: checked, written, and handed over once.

`sending` is committed before the hand-over and the outcome after it. A crash in between is never repeated by guess:
it becomes `needs_attention`, unless the printer can tell that it has the letter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from services.notifier import model as m
from services.notifier.actions.external import Outside
from services.notifier.actions.review_events import tell_of_review
from services.notifier.actions.writing import NOT_WRITABLE, as_email, email_to, letter_to, values_for
from services.notifier.model import NOTHING_KEPT, Content
from services.notifier.outways import Refused, TryAgain, Unknown
from shared.db.gates import OPEN
from shared.db.unit_of_work import Tx
from shared.errors import Erased, Frozen, NotFound, Temporary
from shared.ids import new_id
from shared.messaging.steps import StepRow
from shared.ops.logs import log, where

if TYPE_CHECKING:
    from services.notifier.store import Stores


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A notification in `sending`, what was written, and to whom."""

    notification: m.Notification
    content: Content
    person: m.Person


def send(stores: Stores, outside: Outside, step: StepRow) -> datetime | None:
    """Send the notification that the step names, if it still may go. Raises Temporary and Unavailable: later."""
    found = stores.notification(step.key)
    if found is None:
        return None
    if found.status is m.Status.SENDING:
        _after_a_crash(stores, outside, found)
        return None
    if found.status is not m.Status.CREATED or stores.unit_of_work.gates.state(found.case_id) != OPEN:
        # Frozen: what waits goes on when the case is released. Closed: it is about to be erased.
        return None
    try:
        ready = _made_ready(stores, outside, found, step.now)
    except (Erased, Frozen):
        return None
    return None if ready is None else _hand_over(stores, outside, ready, step.now)


def wait_for_hand_overs(stores: Stores, case_id: str) -> None:
    """Before anything is erased: what is being handed over ends first. Raises Temporary while it hasn't."""
    if stores.being_handed_over(case_id):
        raise Temporary("handing-over")


def way_to(outside: Outside, found: m.Notification, person: m.Person | None) -> m.Channel | m.Reason:
    """How it may go to this person now, or why it may not. Raises as `Outside.allows` does."""
    if found.review is not None and not outside.is_still_asked(found.review, found.round):
        # It waited, and meanwhile they answered, or were asked anew.
        return m.Reason.ANSWERED
    if person is None or not person.is_adult:
        return m.Reason.NOT_IN_CASE
    if not outside.allows(found.case_id, person.id, "casework"):
        return m.Reason.NO_CONSENT
    on_purpose = found.asked is m.Channel.EMAIL
    if not found.mailbox_refused and found.asked is not m.Channel.LETTER:
        by_email = bool(person.email) if on_purpose else person.takes_email
        if by_email and outside.allows(found.case_id, person.id, "email"):
            return m.Channel.EMAIL
        if on_purpose:
            return m.Reason.NO_CONSENT if by_email else m.Reason.UNREACHABLE
    return m.Channel.LETTER if person.address else m.Reason.UNREACHABLE


def _made_ready(stores: Stores, outside: Outside, found: m.Notification, now: datetime) -> _Ready | None:
    """Check, write and commit `sending`; None when it doesn't go. Raises Erased, Frozen, Temporary, Unavailable."""
    try:
        case = outside.case(found.case_id)
    except NotFound as error:
        raise Temporary("case-not-found") from error
    if case.get("frozen"):
        raise Temporary("frozen")
    person = next((one for one in m.people_of(case) if one.id == found.person_id), None)
    way = m.Reason.CONTACT_STOPPED if case["contact_stopped"] else way_to(outside, found, person)
    if person is None or isinstance(way, m.Reason):
        reason = way if isinstance(way, m.Reason) else m.Reason.NOT_IN_CASE
        _stop(stores, found, m.Status.CANCELLED, reason)
        return None
    try:
        content = _written(stores, outside, found, case=case, person=person, way=way, now=now)
    except NOT_WRITABLE as error:
        log.error("notification.not_written", record_id=found.id, case_id=found.case_id, **where(error))
        _stop(stores, found, m.Status.FAILED, m.Reason.NOT_WRITABLE)
        return None
    begun = _begin(stores, found, way, content)
    return None if begun is None else _Ready(notification=begun, content=content, person=person)


def _written(
    stores: Stores,
    outside: Outside,
    found: m.Notification,
    *,
    case: Mapping[str, Any],
    person: m.Person,
    way: m.Channel,
    now: datetime,
) -> Content:
    given = stores.content(found.id).values
    if found.review is not None:
        values = m.review_values(case, found, now=now)
    else:
        values = values_for(
            outside,
            template=found.template,
            version=found.template_version,
            case=case,
            known=stores.projection(found.case_id),
            person=person,
            given=given,
            now=now,
        )
    office = outside.hand_over.office
    if way is m.Channel.EMAIL:
        email = email_to(person, found.template, found.template_version, values, office=office, now=now)
        return Content(values=given, email=email)
    pdf = letter_to(person, found.template, found.template_version, values, office=office, now=now)
    return Content(values=given, pdf=pdf)


def _begin(stores: Stores, found: m.Notification, way: m.Channel, content: Content) -> m.Notification | None:
    """Commit `sending` through the gate: after a freeze or a close nothing goes out. Raises Frozen, Erased."""
    attempt = new_id()

    def act(tx: Tx) -> m.Notification | None:
        tx.enter(found.case_id)
        latest = stores.notification(found.id, tx)
        if latest is None or latest.status is not m.Status.CREATED:
            return None
        begun = replace(latest, status=m.Status.SENDING, reason=None, channel=way, attempt=attempt, sending_at=tx.now)
        return stores.change_notification(tx, latest, begun, content)

    return stores.unit_of_work.run(act)


def _hand_over(stores: Stores, outside: Outside, ready: _Ready, now: datetime) -> datetime | None:
    sent, content = ready.notification, ready.content
    try:
        if sent.channel is m.Channel.EMAIL:
            email = as_email(content.email or {})
            outside.hand_over.email(id=sent.id, to=ready.person.email or "", email=email, now=now)
        else:
            outside.hand_over.letter(id=sent.id, pdf=content.pdf or b"")
    except TryAgain as error:
        _settle(stores, sent, m.Status.CREATED)
        raise Temporary("not-handed-over") from error
    except Refused:
        if ready.person.address:
            # A mailbox that refuses falls back to post, at once.
            _settle(stores, sent, m.Status.CREATED, mailbox_refused=True)
            return now
        _settle(stores, sent, m.Status.FAILED, m.Reason.REFUSED)
    except Unknown:
        _settle(stores, sent, m.Status.NEEDS_ATTENTION, m.Reason.HAND_OVER_UNKNOWN)
    else:
        _settle(stores, sent, m.Status.DELIVERED)
    return None


def _after_a_crash(stores: Stores, outside: Outside, found: m.Notification) -> None:
    """Its process died between `sending` and the outcome."""
    if found.channel is m.Channel.LETTER and outside.hand_over.has_letter(found.id):
        _settle(stores, found, m.Status.DELIVERED)
    else:
        _settle(stores, found, m.Status.NEEDS_ATTENTION, m.Reason.HAND_OVER_UNKNOWN)


def _settle(
    stores: Stores,
    sent: m.Notification,
    status: m.Status,
    reason: m.Reason | None = None,
    *,
    mailbox_refused: bool = False,
) -> None:
    """Commit how this hand-over ended, whatever the gate says by now: the erasure waits for it."""

    def act(tx: Tx) -> None:
        tx.gates.touch(tx.session, sent.case_id)
        latest = stores.notification(sent.id, tx)
        if latest is None or latest.attempt != sent.attempt:
            return
        after = replace(
            latest,
            status=status,
            reason=reason,
            mailbox_refused=latest.mailbox_refused or mailbox_refused,
            attempt=None if status is m.Status.CREATED else latest.attempt,
            done_at=None if status is m.Status.CREATED else tx.now,
        )
        # What has gone is kept no longer.
        stores.change_notification(tx, latest, after, NOTHING_KEPT if status in m.GONE else None)
        tell_of_review(tx, after)

    stores.unit_of_work.run(act)


def _stop(stores: Stores, found: m.Notification, status: m.Status, reason: m.Reason) -> None:
    """It won't go. Raises Erased or Frozen."""

    def act(tx: Tx) -> None:
        tx.enter(found.case_id)
        latest = stores.notification(found.id, tx)
        if latest is not None and latest.status is m.Status.CREATED:
            after = replace(latest, status=status, reason=reason, done_at=tx.now)
            stores.change_notification(tx, latest, after, NOTHING_KEPT if status in m.GONE else None)
            tell_of_review(tx, after)

    stores.unit_of_work.run(act)
