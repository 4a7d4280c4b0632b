"""The list of templates, and previews of them with sample values. Nothing is kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Any, Final

from services.notifier.letters import (
    TEMPLATES,
    BadValue,
    MissingValue,
    NotPrintable,
    Office,
    Recipient,
    UnknownValue,
    latest_version,
    render_email,
    render_letter,
)
from services.notifier.letters.templates import find_template
from shared.errors import Invalid, NotFound

_NOT_MADE: Final = "The preview can't be made as it stands. Nothing was stored."
_SAMPLE_NAME: Final = "Sam Sample"
_SAMPLE_ADDRESS: Final = ("1 Example Street", "Anytown", "SW1A 1AA")
_SAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "opening": {
        "reference": "AB2C-DE3F",
        "opened_on": date(2026, 1, 5),
        "purposes": [{"purpose": "casework"}, {"purpose": "contact", "party": "Example Council"}, {"purpose": "email"}],
    },
    "review": {"reference": "AB2C-DE3F", "answer_before": date(2027, 2, 2)},
    "review_reminder": {"reference": "AB2C-DE3F", "answer_before": date(2027, 2, 2)},
    "last": {
        "asked_on": date(2026, 1, 5),
        "request": "019b0000-0000-7000-8000-000000000000",
    },
}


def list_templates() -> list[dict[str, Any]]:
    """Each template's name, versions and fields by kind."""
    return [
        {"name": name, "versions": list(versions), "fields": dict(find_template(name, versions[-1]).fields)}
        for name, versions in TEMPLATES.items()
    ]


def preview_letter(
    name: str, given: Mapping[str, Any], *, formats: Collection[str], office: Office, now: datetime
) -> bytes:
    """The PDF of a letter to a sample person, with these values over the sample ones. Raises NotFound, Invalid."""
    version = _version(name)
    recipient = Recipient(name=_SAMPLE_NAME, address=_SAMPLE_ADDRESS)
    values = _values(name, version, given)
    try:
        return render_letter(name, version, values, office=office, recipient=recipient, formats=formats, now=now)
    except NotPrintable as error:
        errors = {"values": ["No font of a letter has a character that is in one of these."]}
        raise Invalid(_NOT_MADE, errors=errors) from error


def preview_email(name: str, given: Mapping[str, Any], *, office: Office, now: datetime) -> str:
    """The HTML of an email to a sample person. Raises as `preview_letter`."""
    version = _version(name)
    values = _values(name, version, given)
    return render_email(name, version, values, office=office, recipient_name=_SAMPLE_NAME, now=now).html


def _version(name: str) -> int:
    if name not in TEMPLATES:
        raise NotFound("There is no such template.")
    return latest_version(name)


def _values(name: str, version: int, given: Mapping[str, Any]) -> dict[str, Any]:
    values = {**_SAMPLES.get(name, {}), **given}
    try:
        find_template(name, version).words(values)
    except UnknownValue as error:
        raise Invalid(_NOT_MADE, errors={"values": ["The template has no place for one of these."]}) from error
    except (BadValue, MissingValue) as error:
        raise Invalid(
            _NOT_MADE, errors={f"values.{error.field}": ["This isn't what the template asks for."]}
        ) from error
    return values
