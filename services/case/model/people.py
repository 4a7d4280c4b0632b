"""The people of a case: what may be held about them, and when it is refused (P1, P10)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from services.case.model.safe_contact import SafeContact
from shared.errors import Conflict, Invalid
from shared.uk.phones import BadPhone, to_e164
from shared.uk.postal import BadAddress, PostalAddress

PREFERRED_CHANNELS: Final = ("letter", "email", "phone")
FORMATS: Final = ("large_print", "easy_read")
MAX_NAME_CHARACTERS: Final = 200
#: RFC 5321: a path of 256 with its brackets; 64 before the @.
MAX_EMAIL_CHARACTERS: Final = 254
_MAX_LOCAL_CHARACTERS: Final = 64
#: No one has lived longer, so an older date of birth is a typing error.
MAX_AGE_YEARS: Final = 130
#: People of one case: each change emits all of them.
MAX_PEOPLE: Final = 100
NOT_ASKED: Final = SafeContact()

# Quoted local parts and address literals are refused: no real mailbox needs them, and they can carry an injection.
_LOCAL: Final = re.compile(r"[^\s@\"(),:;<>\[\\\].]+(?:\.[^\s@\"(),:;<>\[\\\].]+)*")
_MAX_LABEL_CHARACTERS: Final = 63
_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})


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


def checked(given: Mapping[str, Any], *, today: date) -> dict[str, Any]:
    """What was given about a person, tidied: fields of `Person`, no more than were given.

    today: London's date. Raises Invalid naming every field that can't be kept, and why; never its value.
    """
    kept: dict[str, Any] = {}
    errors: dict[str, list[str]] = {}
    for name, value in given.items():
        try:
            kept[name] = _tidied(name, value, today)
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


def check_email(text: str) -> str:
    """An address that one message can be sent to, trimmed. Raises ValueError.

    Letters of any script are welcome; anything that could break out of a message's header isn't.
    """
    email = text.strip(" ")
    if len(email) > MAX_EMAIL_CHARACTERS:
        raise ValueError(f"An email address has at most {MAX_EMAIL_CHARACTERS} characters.")
    if any(unicodedata.category(character) in _UNPRINTABLE for character in email):
        raise ValueError("An email address has no spaces and no invisible characters.")
    local, _, domain = email.rpartition("@")
    labels = domain.split(".")
    fits = (
        _LOCAL.fullmatch(local) is not None
        and len(local) <= _MAX_LOCAL_CHARACTERS
        and len(labels) > 1
        and all(_is_label(label) for label in labels)
        and not labels[-1].isdigit()
    )
    if not fits:
        raise ValueError("This isn't an email address: it needs a name, an @ and a domain such as example.org.")
    return email


def _is_label(text: str) -> bool:
    """One part of a domain: letters of any script with their marks, digits, and hyphens inside."""
    return (
        0 < len(text) <= _MAX_LABEL_CHARACTERS
        and all(character == "-" or unicodedata.category(character)[0] in "LMN" for character in text)
        and unicodedata.category(text[0])[0] in "LN"
        and text[-1] != "-"
    )


def _tidied(name: str, value: Any, today: date) -> Any:
    """One field's value as it is kept. Raises ValueError with a sentence; BadAddress and BadPhone are such."""
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
            return check_email(value)
        case "phone":
            return _phone(value)
    return value


def _name(text: str) -> str:
    tidy = " ".join(text.split())
    if not tidy:
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
    return text.strip()
