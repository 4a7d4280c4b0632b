"""Writing one notification: the values of its template, and the letter or email itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from services.notifier.actions import external
from services.notifier.context import Context
from services.notifier.letters import (
    FORMATS,
    BadValue,
    MissingValue,
    Recipient,
    RenderingFailed,
    UnknownFormat,
    UnknownTemplate,
    UnknownValue,
    render_email,
    render_letter,
)
from services.notifier.letters.templates import find_template
from services.notifier.model.notifications import Notification, opening_values, review_values
from services.notifier.model.recipients import KnownCase, Person, as_known, first_adult, people_of

#: What the templates raise for values that don't fit them. None of these errors repeats a value.
NOT_WRITABLE: Final = (RenderingFailed, UnknownTemplate, UnknownFormat, UnknownValue, MissingValue, BadValue)


def values_for(
    context: Context, notification: Notification, *, case: Mapping[str, Any], person: Person, now: datetime
) -> dict[str, Any]:
    """What its template says of this case to this person. Values that a caller gave on purpose come first.

    Raises UnknownValue, BadValue or MissingValue naming a field, and Unavailable.
    """
    if notification.review is not None:
        return review_values(case, notification, now=now)
    case_id = notification.case_id
    known = context.stores.known_cases.get(case_id) or KnownCase(case_id=case_id)
    first = first_adult(as_known(people_of(case)))
    theirs = [one for one in known.standing if (one.person or first) == person.id]
    purposes = external.agreed_purposes(context, case, theirs)
    values = {
        **opening_values(case, opened_on=known.opened_at or now, purposes=purposes),
        **notification.personal.values,
    }
    find_template(notification.template, notification.template_version).words(values)
    return values


def letter_to(
    context: Context, person: Person, template: str, version: int, values: Mapping[str, Any], *, now: datetime
) -> bytes:
    """The PDF, in the formats the person asked for (P18). Raises one of NOT_WRITABLE."""
    return render_letter(
        template,
        version,
        values,
        office=context.office,
        recipient=Recipient(name=person.name, address=person.address),
        plain=person.plain,
        formats=[one for one in person.formats if one in FORMATS],
        now=now,
    )


def email_to(
    context: Context, person: Person, template: str, version: int, values: Mapping[str, Any], *, now: datetime
) -> dict[str, str]:
    """The email's subject, text and HTML. Raises one of NOT_WRITABLE."""
    return asdict(render_email(template, version, values, office=context.office, recipient_name=person.name, now=now))
