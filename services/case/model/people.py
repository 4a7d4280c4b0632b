"""The people of a case: what may be held about them, and when it is refused (P1, P10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from services.case.model.safe_contact import SafeContact
from shared.emails import check_email
from shared.errors import Conflict, Invalid
from shared.text import has_something_visible, trimmed
from shared.uk.phones import BadPhone, to_e164
from shared.uk.postal import BadAddress, PostalAddress

PREFERRED_CHANNELS: Final = ("letter", "email", "phone")
FORMATS: Final = ("large_print", "easy_read")
MAX_NAME_CHARACTERS: Final = 200
#: No one has lived longer, so an older date of birth is a typing error.
MAX_AGE_YEARS: Final = 130
#: People of one case: each change emits all of them.
MAX_PEOPLE: Final = 100
NOT_ASKED: Final = SafeContact()


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person of a case. Its repr shows ids alone, so that their name can't end up in a log."""

    id: str
    case_id: str
    version: int = 0
    role: str = field(repr=False)
    given_name: str = field(repr=False)
    family_name: str = field(repr=False)
    date_of_birth: date | None = field(default=None, repr=False)
    address: tuple[str, ...] | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)
    parental_responsibility: bool | None = field(default=None, repr=False)
    preferred_channel: str | None = field(default=None, repr=False)
    formats: tuple[str, ...] = field(default=(), repr=False)
    safe_contact: SafeContact = field(default=NOT_ASKED, repr=False)
    #: A competent child who is to be kept apart: no one else of the file hears of them, and no post goes to their home.
    kept_apart: bool = field(default=False, repr=False)


def contact_of(person: Person) -> tuple[object, ...]:
    """All that says whether and how a person may be written to: who they are in the file is part of it."""
    return person.role, person.address, person.email, person.phone, person.safe_contact, person.kept_apart


def checked(given: Mapping[str, Any], *, today: date, mail_takes_utf8: bool) -> dict[str, Any]:
    """What was given about a person, tidied: fields of `Person`, no more than were given.

    today: London's date. mail_takes_utf8: whether the office's relay takes any letters before an @. Raises Invalid that
    names every field that can't be kept, and why; never its value.
    """
    kept: dict[str, Any] = {}
    errors: dict[str, list[str]] = {}
    for name, value in given.items():
        try:
            kept[name] = _tidied(name, value, today, mail_takes_utf8)
        except ValueError as error:
            errors[name] = [str(error)]
    if errors:
        raise Invalid("Something about this person can't be kept as it was sent. Nothing was stored.", errors=errors)
    return kept


def room_for_one_more(people: Sequence[Person]) -> None:
    """Raises Conflict when the case has as many people as it may."""
    if len(people) >= MAX_PEOPLE:
        raise Conflict(f"A case has at most {MAX_PEOPLE} people. Nothing was stored.")


def check_kept_apart(person: Person) -> None:
    """Raises Invalid for keeping anyone apart who is not the child or young person of the file."""
    if person.kept_apart and person.role not in ("child", "young_person"):
        raise Invalid(
            "Only a child or young person can be kept apart. Nothing was stored.",
            errors={"kept_apart": ["It is for a child who was judged competent, or a young person."]},
        )


def check_date_of_birth(born: date, *, today: date) -> date:
    """P1: a real day in the past. Raises ValueError. Being over 25 isn't a reason to refuse it."""
    if born > today:
        raise ValueError("A date of birth can't be in the future.")
    if today.year - born.year > MAX_AGE_YEARS:
        raise ValueError(f"A date of birth can't be more than {MAX_AGE_YEARS} years ago.")
    return born


def _tidied(name: str, value: Any, today: date, mail_takes_utf8: bool) -> Any:
    """One field's value as it is kept. Raises ValueError with a sentence; BadAddress and its like are such."""
    if name in ("given_name", "family_name"):
        return _name(value)
    if name == "formats":
        return tuple(dict.fromkeys(value or ()))
    if name == "kept_apart":
        return bool(value)
    if value is None:
        return None
    match name:
        case "date_of_birth":
            return check_date_of_birth(value, today=today)
        case "address":
            return _address(value)
        case "email":
            return check_email(value, takes_utf8=mail_takes_utf8)
        case "phone":
            return _phone(value)
    return value


def _name(text: str) -> str:
    tidy = " ".join(text.split())
    if not has_something_visible(tidy):
        raise ValueError("A name can't be blank.")
    return tidy


def _address(lines: Sequence[str]) -> tuple[str, ...]:
    try:
        return PostalAddress.parse(lines).lines
    except BadAddress as error:
        raise ValueError(error.reason) from error


def _phone(text: str) -> str:
    """The number as it was given, since people recognise their own way of writing it."""
    try:
        to_e164(text)
    except BadPhone as error:
        raise ValueError(error.reason) from error
    return trimmed(text)
