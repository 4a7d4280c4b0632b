"""UK telephone numbers as people say and type them, and the one form in which two of them are compared."""

from __future__ import annotations

import re
from typing import Final

import phonenumbers

from shared.text import trimmed

#: A number given without a country is dialled from here.
HOME: Final = "GB"
#: Characters as typed, spaces and an extension included; ITU numbers have at most 15 digits.
MAX_CHARACTERS: Final = 60
# Relay UK: people who can't hear or speak well dial 18001 before a number, and are called with 18002 before theirs.
_RELAY_ALONE: Final = re.compile(r"\D*1800[12]\D*", re.ASCII)
_RELAY: Final = re.compile(r"[^\d+]*1800[12][^\d+]*(?P<called>[+\d].*)", re.ASCII | re.DOTALL)


class BadPhone(ValueError):
    """It can't be a telephone number; `reason` is a sentence that never repeats it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def to_e164(text: str) -> str:
    """`07700 900123` and `+44 (0)7700 900123` as `+447700900123`; an extension is left out.

    Relay UK's prefix is left out too: `18001 07700 900123` is the same number. Refused only when it isn't a possible
    number: its length is judged, not whether it is in use. Raises BadPhone.
    """
    if len(text) > MAX_CHARACTERS:
        raise BadPhone(f"A phone number has at most {MAX_CHARACTERS} characters.")
    if _RELAY_ALONE.fullmatch(text):
        raise BadPhone("This is Relay UK's prefix alone: write the number that it is dialled before too.")
    relayed = _RELAY.fullmatch(trimmed(text))
    if relayed is not None:
        called = relayed["called"]
        # A number of 1800 1… without its 0 stays what it is.
        if called.startswith(("0", "+")) or _parsed(text) is None:
            text = called
    number = _parsed(text)
    if number is None:
        raise BadPhone("This isn't a possible phone number: it has too few or too many digits.")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _parsed(text: str) -> phonenumbers.PhoneNumber | None:
    """The number, or None where it has too few or too many digits. Raises BadPhone for what has no digits."""
    try:
        number = phonenumbers.parse(text, HOME)
    except phonenumbers.NumberParseException as error:
        if error.error_type in (error.TOO_LONG, error.TOO_SHORT_NSN, error.TOO_SHORT_AFTER_IDD):
            return None
        raise BadPhone("This isn't a phone number: write its digits, with + and its country if abroad.") from error
    return number if phonenumbers.is_possible_number(number) else None
