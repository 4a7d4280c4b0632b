"""What people do with notifications: send one on purpose, cancel one, say that one came back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from services.notifier.actions import external
from services.notifier.actions.sending import change_status, channel_for, queue
from services.notifier.actions.writing import values_for
from services.notifier.context import Context
from services.notifier.letters import TEMPLATES, BadValue, MissingValue, UnknownValue, latest_version
from services.notifier.model.notifications import (
    SENT_ON_PURPOSE,
    Channel,
    Content,
    Notification,
    Reason,
    Status,
    is_unprintable,
    may_cancel,
    may_come_back,
    may_go,
)
from services.notifier.model.recipients import Person, people_of
from services.notifier.store import Stores
from shared.db.gates import CLOSED, ERASED_SENTENCE, FROZEN_SENTENCE, OPEN, refuse
from shared.db.unit_of_work import Tx
from shared.errors import Conflict, ConsentRequired, Erased, Frozen, Invalid, NotFound, Temporary
from shared.events.consent import REVIEW_LETTERS

_UNKNOWN: Final = "There is no such notification here."
_DOESNT_FIT: Final = "The notification can't be made as it stands. Nothing was stored."
_WHY_NOT: Final[Mapping[Reason, str]] = {
    Reason.NOT_IN_CASE: "Only the adults of a file are written to, never a child. Nothing was stored.",
    Reason.UNREACHABLE: "This person has no address that this could be sent to. Nothing was stored.",
}
_NOT_SAFE: Final = (
    "What is recorded about safe contact doesn't allow writing to this person like that. Nothing was sent or stored. "
    "Reach them in a way that is allowed, or ask them which way is safe and record it."
)
_NOT_AGREED: Final = "This person hasn't agreed to be written to like that, or not any more. Nothing was stored."


def send_on_purpose(
    context: Context,
    *,
    id: str,
    case_id: str,
    person_id: str,
    template: str,
    values: Mapping[str, Any],
    channel: Channel | None,
    now: datetime,
) -> Notification:
    """Have a template sent to one person, checked now and again when it goes (P13, P16, P18).

    The caller has made sure that the case is known here. Raises Invalid, Conflict, ConsentRequired, Frozen, Erased,
    and Unavailable when the case or consent service is away: then nothing is sent.
    """
    if template not in TEMPLATES:
        raise Invalid(_DOESNT_FIT, errors={"template": ["There is no such template."]})
    if template not in SENT_ON_PURPOSE:
        if template in REVIEW_LETTERS:
            raise Conflict("A review's letters are sent by the clock alone. Nothing was stored.")
        raise Conflict("The last letter is sent by an erasure alone. Nothing was stored.")
    if (state := context.stores.unit_of_work.gates.state(case_id)) != OPEN:
        refuse(state)
    case = external.read_case(context, case_id)
    if case.get("frozen"):
        raise Frozen(FROZEN_SENTENCE)
    if case["contact_stopped"]:
        raise Conflict("All contact with this family has stopped. Nothing was stored.")
    person = next((one for one in people_of(case) if one.id == person_id), None)
    if person is None:
        raise Invalid(_DOESNT_FIT, errors={"person_id": ["This is no person of the case."]})
    asked = Notification(
        id=id,
        case_id=case_id,
        person_id=person_id,
        template=template,
        template_version=latest_version(template),
        channel=channel or Channel.LETTER,
        asked=channel,
        created_at=now,
        personal=Content(values=values),
    )
    try:
        way = channel_for(context, asked, person)
    except Temporary as error:
        raise ConsentRequired(_NOT_AGREED) from error
    if isinstance(way, Reason):
        if way is Reason.NO_CONSENT:
            raise ConsentRequired(_NOT_AGREED)
        withheld = person.withheld & ({channel} if channel else set(Channel))
        raise Conflict(_NOT_SAFE if way is Reason.UNREACHABLE and withheld else _WHY_NOT[way])
    new = replace(asked, channel=way)
    _check_values(context, new, case=case, person=person, now=now)

    def act(tx: Tx) -> Notification:
        tx.enter(case_id)
        queue(context.stores, tx, new)
        return new

    return context.stores.unit_of_work.run(act)


def read(stores: Stores, id: str) -> Notification:
    """Raises NotFound, also for a notification of a case that is being erased: it isn't remembered."""
    found = stores.notifications.get(id)
    if found is None or stores.unit_of_work.gates.state(found.case_id) == CLOSED:
        raise NotFound(_UNKNOWN)
    return found


def content_of(found: Notification) -> Content:
    """What was written, while it is kept. Raises NotFound, with a sentence that says why there is none."""
    if found.personal.pdf is None and found.personal.email is None:
        if may_go(found):
            raise NotFound("It isn't written yet: that happens when it is sent.")
        raise NotFound("It is no longer kept: what has gone, or was cancelled, is destroyed here.")
    return found.personal


def of_case(stores: Stores, *, case_id: str, after: str | None, limit: int) -> list[Notification]:
    """Up to `limit` notifications of the case made after that one. Raises Erased."""
    found = stores.notifications.page({"case_id": case_id}, after, limit)
    # Asked last, so that what was read before the gate closed isn't shown after.
    if stores.unit_of_work.gates.state(case_id) == CLOSED:
        raise Erased(ERASED_SENTENCE)
    return found


def cancel(stores: Stores, *, id: str) -> Notification:
    """Stop one that hasn't gone, or may not have gone. Raises NotFound, Conflict, Frozen."""

    def act(tx: Tx) -> Notification:
        found = _entered(stores, tx, id)
        if not may_cancel(found.status):
            raise Conflict("It has gone, is just going, or was cancelled already. Nothing was changed.")
        return change_status(stores, tx, found, Status.CANCELLED, Reason.CANCELLED_BY_STAFF)

    return stores.unit_of_work.run(act)


def mark_returned(stores: Stores, *, id: str) -> Notification:
    """Post was returned, or an email bounced: the person was not reached (P21). Raises as `cancel`."""

    def act(tx: Tx) -> Notification:
        found = _entered(stores, tx, id)
        if not may_come_back(found.status) or is_unprintable(found):
            raise Conflict("Only what was sent can come back. Nothing was changed.")
        return change_status(stores, tx, found, Status.RETURNED, Reason.CAME_BACK)

    return stores.unit_of_work.run(act)


def _entered(stores: Stores, tx: Tx, id: str) -> Notification:
    """The notification, to be changed. Raises NotFound, Frozen."""
    found = stores.notifications.get(id, tx=tx)
    if found is None:
        raise NotFound(_UNKNOWN)
    try:
        tx.enter(found.case_id)
    except Erased as error:
        raise NotFound(_UNKNOWN) from error
    return found


def _check_values(
    context: Context, new: Notification, *, case: Mapping[str, Any], person: Person, now: datetime
) -> None:
    """Raises Invalid for values that the template can't take; values it needs and wasn't given come from the case."""
    try:
        values_for(context, new, case=case, person=person, now=now)
    except UnknownValue as error:
        # Its name isn't repeated: it may be a person's data.
        raise Invalid(_DOESNT_FIT, errors={"values": ["The template has no place for one of these."]}) from error
    except (BadValue, MissingValue) as error:
        errors = {f"values.{error.field}": ["This isn't what the template asks for."]}
        raise Invalid(_DOESNT_FIT, errors=errors) from error
