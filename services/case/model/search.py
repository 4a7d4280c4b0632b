"""What a person is found by: each criterion's normal form, before it is hashed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from services.case.model.folding import fold
from services.case.model.people import Person
from shared.errors import Invalid
from shared.uk.phones import BadPhone, to_e164

#: Found cases in one answer; whoever finds more asks by something that says more.
MAX_FOUND: Final = 50


class Criterion(StrEnum):
    """Named after what a caller gives; a family name comes with a date of birth."""

    FAMILY_NAME = "family_name"
    POSTCODE = "postcode"
    EMAIL = "email"
    PHONE = "phone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A case that was found, and by what. kept_apart: somebody in it is, so that nobody else is told of the file."""

    case_id: str
    reference: str
    state: str
    matched: str
    kept_apart: bool = False


def name_key(family_name: str, born: date) -> str | None:
    """The family name folded, and the date of birth; None where nothing of the name is left to compare."""
    folded = fold(family_name)
    return f"{folded} {born.isoformat()}" if folded else None


def text_key(text: str) -> str | None:
    """A postcode or an email address folded; None where nothing is left to compare."""
    return fold(text) or None


def phone_key(text: str) -> str | None:
    """A phone number as E.164, so that +44 equals 0; None for what can't be one."""
    try:
        return to_e164(text)
    except BadPhone:
        return None


def keys_of(person: Person) -> dict[Criterion, str]:
    """All that the person is found by."""
    keys = {
        Criterion.FAMILY_NAME: name_key(person.family_name, person.date_of_birth) if person.date_of_birth else None,
        # The last line of an address is its postcode, or a BFPO number.
        Criterion.POSTCODE: text_key(person.address[-1]) if person.address else None,
        Criterion.EMAIL: text_key(person.email) if person.email else None,
        Criterion.PHONE: phone_key(person.phone) if person.phone else None,
    }
    return {criterion: key for criterion, key in keys.items() if key is not None}


def nothing_to_compare(field: str) -> Invalid:
    return Invalid("There is nothing in this to search by.", errors={field: ["It needs a letter or a digit."]})
