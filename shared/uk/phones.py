"""UK telephone numbers as people say and type them, and the one form in which two of them are compared."""

from __future__ import annotations

from typing import Final

import phonenumbers

#: A number given without a country is dialled from here.
HOME: Final = "GB"
#: Characters as typed, spaces and an extension included; ITU numbers have at most 15 digits.
MAX_CHARACTERS: Final = 60


class BadPhone(ValueError):
    """It can't be a telephone number; `reason` is a sentence that never repeats it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def to_e164(text: str) -> str:
    """`07700 900123` and `+44 (0)7700 900123` as `+447700900123`; an extension is left out.

    Refused only when it isn't a possible number: its length is judged, not whether it is in use. Raises BadPhone.
    """
    if len(text) > MAX_CHARACTERS:
        raise BadPhone(f"A phone number has at most {MAX_CHARACTERS} characters.")
    try:
        number = phonenumbers.parse(text, HOME)
    except phonenumbers.NumberParseException as error:
        raise BadPhone("This isn't a phone number: write its digits, with + and its country if abroad.") from error
    if not phonenumbers.is_possible_number(number):
        raise BadPhone("This isn't a possible phone number: it has too few or too many digits.")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
