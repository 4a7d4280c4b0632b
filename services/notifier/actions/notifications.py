"""What people do with notifications: send one on purpose, cancel one, say that one came back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from services.notifier import model as m
from services.notifier.actions.case_changes import SEND_STEP
from services.notifier.actions.external import Outside
from services.notifier.actions.review_events import tell_of_review
from services.notifier.actions.sending import way_to
from services.notifier.actions.writing import values_for
from services.notifier.letters import TEMPLATES, BadValue, MissingValue, UnknownValue, latest_version
from services.notifier.model import NOTHING_KEPT, Content
from shared.db.gates import CLOSED, ERASED_SENTENCE, FROZEN_SENTENCE, OPEN, refuse
from shared.db.unit_of_work import Tx
from shared.errors import Conflict, ConsentRequired, Erased, Frozen, Invalid, NotFound, Temporary
from shared.events.consent import REVIEW_LETTERS

if TYPE_CHECKING:
    from services.notifier.store import Stores

_UNKNOWN = "There is no such notification here."
_DOESNT_FIT = "The notification can't be made as it stands. Nothing was stored."
_WHY_NOT: Mapping[m.Reason, str] = {
    m.Reason.NOT_IN_CASE: "Only the adults of a file are written to, never a child. Nothing was stored.",
    m.Reason.UNREACHABLE: "This person has no address that this could be sent to. Nothing was stored.",
}
_NOT_AGREED = "This person hasn't agreed to be written to like that, or not any more. Nothing was stored."


def ask(
    stores: Stores,
    outside: Outside,
    *,
    id: str,
    case_id: str,
    person_id: str,
    template: str,
    values: Mapping[str, Any],
    channel: m.Channel | None,
    now: datetime,
) -> m.Notification:
    """Have a template sent to one person on purpose, checked now and again when it goes (P13, P16, P18).

    The caller has settled that the case is one we know of. Raises Invalid, Conflict, ConsentRequired, Frozen, Erased,
    and Unavailable when the case or consent service is away: then nothing is sent.
    """
    if template not in TEMPLATES:
        raise Invalid(_DOESNT_FIT, errors={"template": ["There is no such template."]})
    if template not in m.SENT_ON_PURPOSE:
        if template in REVIEW_LETTERS:
            raise Conflict("A review's letters are sent by the clock alone. Nothing was stored.")
        raise Conflict("The last letter is sent by an erasure alone. Nothing was stored.")
    if (state := stores.unit_of_work.gates.state(case_id)) != OPEN:
        refuse(state)
    case = outside.case(case_id)
    if case.get("frozen"):
        raise Frozen(FROZEN_SENTENCE)
    if case["contact_stopped"]:
        raise Conflict("All contact with this family has stopped. Nothing was stored.")
    person = next((one for one in m.people_of(case) if one.id == person_id), None)
    if person is None:
        raise Invalid(_DOESNT_FIT, errors={"person_id": ["This is no person of the case."]})
    new = m.Notification(
        id=id,
        case_id=case_id,
        person_id=person_id,
        template=template,
        template_version=latest_version(template),
        channel=channel or m.Channel.LETTER,
        status=m.Status.CREATED,
        asked=channel,
        created_at=now,
    )
    try:
        way = way_to(outside, new, person)
    except Temporary as error:
        raise ConsentRequired(_NOT_AGREED) from error
    if isinstance(way, m.Reason):
        raise ConsentRequired(_NOT_AGREED) if way is m.Reason.NO_CONSENT else Conflict(_WHY_NOT[way])
    new = replace(new, channel=way)
    _check_values(outside, stores, new, case=case, person=person, values=values, now=now)

    def act(tx: Tx) -> m.Notification:
        tx.enter(case_id)
        stores.add_notification(tx, new, Content(values=values))
        stores.steps.add(tx, SEND_STEP, new.id, case_id)
        return new

    return stores.unit_of_work.run(act)


def read(stores: Stores, id: str) -> m.Notification:
    """Raises NotFound, also for one of a case that is being erased: nothing remembers it."""
    found = stores.notification(id)
    if found is None or stores.unit_of_work.gates.state(found.case_id) == CLOSED:
        raise NotFound(_UNKNOWN)
    return found


def content(stores: Stores, id: str) -> Content:
    """What was written, while it is kept. Raises NotFound, with a sentence that says why there is none."""
    found = read(stores, id)
    kept = stores.content(id)
    if kept.pdf is None and kept.email is None:
        if found.status is m.Status.CREATED:
            raise NotFound("It isn't written yet: that happens when it is sent.")
        raise NotFound("It is no longer kept: what has gone, or was cancelled, is destroyed here.")
    return kept


def of_case(stores: Stores, *, case_id: str, after: str | None, limit: int) -> list[m.Notification]:
    """Up to `limit` notifications of the case made after that one. Raises Erased."""
    found = stores.page_of(case_id, after, limit)
    # Asked last, so that what was read before the gate closed isn't shown after.
    if stores.unit_of_work.gates.state(case_id) == CLOSED:
        raise Erased(ERASED_SENTENCE)
    return found


def cancel(stores: Stores, *, id: str) -> m.Notification:
    """Stop one that hasn't gone, or that nobody can say has. Raises NotFound, Conflict, Frozen."""

    def act(tx: Tx) -> m.Notification:
        found = _entered(stores, tx, id)
        if not m.may_cancel(found.status):
            raise Conflict("It has gone, is just going, or was cancelled already. Nothing was changed.")
        return _moved(stores, tx, found, m.Status.CANCELLED, m.Reason.CANCELLED_BY_STAFF)

    return stores.unit_of_work.run(act)


def came_back(stores: Stores, *, id: str) -> m.Notification:
    """Post was returned, or an email bounced: whoever it was for was not reached (P21). Raises as `cancel`."""

    def act(tx: Tx) -> m.Notification:
        found = _entered(stores, tx, id)
        if not m.may_come_back(found.status):
            raise Conflict("Only what was sent can come back. Nothing was changed.")
        return _moved(stores, tx, found, m.Status.RETURNED, m.Reason.CAME_BACK)

    return stores.unit_of_work.run(act)


def _entered(stores: Stores, tx: Tx, id: str) -> m.Notification:
    found = stores.notification(id, tx)
    if found is None:
        raise NotFound(_UNKNOWN)
    try:
        tx.enter(found.case_id)
    except Erased as error:
        raise NotFound(_UNKNOWN) from error
    return found


def _moved(stores: Stores, tx: Tx, found: m.Notification, status: m.Status, reason: m.Reason) -> m.Notification:
    after = replace(found, status=status, reason=reason, done_at=tx.now)
    tell_of_review(tx, after)
    return stores.change_notification(tx, found, after, NOTHING_KEPT)


def _check_values(
    outside: Outside,
    stores: Stores,
    new: m.Notification,
    *,
    case: Mapping[str, Any],
    person: m.Person,
    values: Mapping[str, Any],
    now: datetime,
) -> None:
    """Raises Invalid for values that the template can't take; what it needs and wasn't given is taken from the case."""
    try:
        values_for(
            outside,
            template=new.template,
            version=new.template_version,
            case=case,
            known=stores.projection(new.case_id),
            person=person,
            given=values,
            now=now,
        )
    except UnknownValue as error:
        # Its name isn't repeated: it may be somebody's data.
        raise Invalid(_DOESNT_FIT, errors={"values": ["The template has no place for one of these."]}) from error
    except (BadValue, MissingValue) as error:
        said = {f"values.{error.field}": ["This isn't what the template asks for."]}
        raise Invalid(_DOESNT_FIT, errors=said) from error
