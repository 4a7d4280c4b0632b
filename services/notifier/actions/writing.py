"""Writing one notification: the values of its template, and the letter or email itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from services.notifier import model as m
from services.notifier.actions.external import Outside
from services.notifier.letters import (
    FORMATS,
    BadValue,
    Email,
    MissingValue,
    Office,
    Recipient,
    RenderingFailed,
    UnknownFormat,
    UnknownTemplate,
    UnknownValue,
    render_email,
    render_letter,
)
from services.notifier.letters.templates import find_template

#: What the templates raise for words that don't fit them; none of it says any of the words.
NOT_WRITABLE = (RenderingFailed, UnknownTemplate, UnknownFormat, UnknownValue, MissingValue, BadValue)


def values_for(
    outside: Outside,
    *,
    template: str,
    version: int,
    case: Mapping[str, Any],
    known: m.Projection,
    person: m.Person,
    given: Mapping[str, Any],
    now: datetime,
) -> dict[str, Any]:
    """What the opening letter says of this case to this person; what somebody gave on purpose comes first.

    Raises UnknownValue, BadValue or MissingValue naming a field, and Unavailable.
    """
    first = m.first_adult(m.as_known(m.people_of(case)))
    theirs = [one for one in known.standing if (one.person or first) == person.id]
    values = {
        **m.opening_values(case, opened_on=known.opened_at or now, purposes=outside.purposes(case, theirs)),
        **given,
    }
    find_template(template, version).words(values)
    return values


def letter_to(
    person: m.Person, template: str, version: int, values: Mapping[str, Any], *, office: Office, now: datetime
) -> bytes:
    """The PDF, in the formats the person asked for (P18). Raises one of NOT_WRITABLE."""
    return render_letter(
        template,
        version,
        values,
        office=office,
        recipient=Recipient(name=person.name, address=person.address),
        plain=person.plain,
        formats=[one for one in person.formats if one in FORMATS],
        now=now,
    )


def email_to(
    person: m.Person, template: str, version: int, values: Mapping[str, Any], *, office: Office, now: datetime
) -> dict[str, str]:
    """The email's subject, text and HTML. Raises one of NOT_WRITABLE."""
    email = render_email(template, version, values, office=office, recipient_name=person.name, now=now)
    return asdict(email)


def as_email(kept: Mapping[str, str]) -> Email:
    return Email(subject=kept["subject"], text=kept["text"], html=kept["html"])
