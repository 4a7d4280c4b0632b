"""Who writes, who is written to, and how a value becomes words on paper. Pure Python."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from shared.clock import LONDON
from shared.text import has_something_visible

_JOINERS: Final = frozenset("\u200c\u200d")  # Persian, Urdu and Indian names need them
_UNKNOWN: Final = frozenset({"Cs", "Co", "Cn"})
#: Stands for a character that can't be printed.
BLANK: Final = "\u25a1"
#: Characters; a line of the letter holds about 95.
_LONGEST_WORD: Final = 40

#: Characters; a longer one would push the address out of the window.
_LONGEST_WINDOW_NAME: Final = 90

#: Where a complaint about data goes in the last resort (P31): name, address, phone, page.
REGULATOR: Final[Mapping[str, str]] = {
    "name": "Information Commissioner’s Office (ICO)",
    "address": "Wycliffe House, Water Lane, Wilmslow, SK9 5AF",
    "phone": "0303 123 1113",
    "page": "ico.org.uk/make-a-complaint",
}


class UnfitValue(ValueError):
    """A value that isn't of the kind its field asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Who is written to: a name and the lines of a postal address. Its `repr` shows neither."""

    name: str = field(repr=False)
    address: tuple[str, ...] = field(repr=False)

    def window_lines(self) -> list[str]:
        """What stands in the envelope's window: the name (once), and the address."""
        lines = [clean(line) for line in self.address]
        name = clean(self.name)
        if len(name) > _LONGEST_WINDOW_NAME:
            name = name[:_LONGEST_WINDOW_NAME] + "…"
        return lines if lines and lines[0].casefold() == name.casefold() else [name, *lines]


def clean(text: str) -> str:
    """The text in NFC on one line, without what could reorder, hide or break the text around it."""
    kept = []
    for character in unicodedata.normalize("NFC", text):
        category = unicodedata.category(character)
        if category == "Cf" and character not in _JOINERS:
            continue  # a right-to-left override would turn the rest of the line round
        if category in {"Cc", "Zl", "Zp"}:
            kept.append(" ")
        elif category in _UNKNOWN:
            kept.append(BLANK)
        else:
            kept.append(character)
    return " ".join("".join(kept).split())


def has_unknown(text: str) -> bool:
    """Whether it has a character that `clean` puts a blank for: a private or an unassigned one, or half of one."""
    return any(unicodedata.category(character) in _UNKNOWN for character in text)


def breakable(text: str) -> str:
    """The text with a place to break a line in each word that is longer than a line could be."""
    return re.sub(rf"[^\s\-]{{{_LONGEST_WORD},}}", lambda long: "\u200b".join(re.findall(r".{1,20}", long[0])), text)


def day_in_words(day: date) -> str:
    """`22 November 2026`, in any locale of the machine."""
    months = "January February March April May June July August September October November December"
    return f"{day.day} {months.split()[day.month - 1]} {day.year}"


def london_day(moment: datetime) -> date:
    """The day it is in London at that moment. Raises ValueError for a time without a zone."""
    if moment.tzinfo is None:
        raise ValueError("A time needs its time zone.")
    return moment.astimezone(LONDON).date()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise UnfitValue
    text = clean(value)
    return text if has_something_visible(text) else ""


def _day(value: Any) -> str:
    """A date, a time with a zone (its day in London), or either as ISO text."""
    try:
        if isinstance(value, str):
            value = date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
        if isinstance(value, datetime):
            value = london_day(value)
    except ValueError:
        raise UnfitValue from None
    if not isinstance(value, date):
        raise UnfitValue
    return day_in_words(value)


def _number(value: Any) -> str:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UnfitValue
    return str(value)


#: What a consent covers, in a family's words: without and with the party it names.
_PURPOSES: Final[Mapping[str, tuple[str, str]]] = {
    "casework": ("We may keep a case file, so that we can help you.",) * 2,
    "contact": (
        "We may contact others for you, and ask you first about each.",
        "We may contact {party} for you.",
    ),
    "obtain_documents": (
        "We may ask others for copies of documents, and ask you first about each.",
        "We may ask {party} for copies of documents.",
    ),
    "share": (
        "We may share information with others, and ask you first about each.",
        "We may share information with {party}.",
    ),
    "email": ("We may write to you by email.",) * 2,
}


def _purposes(value: Any) -> list[str]:
    """Consent purposes, as [{"purpose": code, "party": name or None}], in sentences without repeats."""
    if not isinstance(value, (list, tuple)):
        raise UnfitValue
    said: dict[str, None] = {}
    for item in value:
        if not isinstance(item, Mapping) or item.keys() - {"purpose", "party"}:
            raise UnfitValue
        if item.get("purpose") not in _PURPOSES:
            raise UnfitValue
        party = _text(item.get("party") or "")
        bare, named = _PURPOSES[item["purpose"]]
        said[named.replace("{party}", party) if party else bare] = None
    return list(said)


#: The kinds of field a template may ask for.
KINDS: Final[Mapping[str, Callable[[Any], str | list[str]]]] = {
    "text": _text,
    "date": _day,
    "number": _number,
    "purposes": _purposes,
}


def as_words(kind: str, value: Any) -> str | list[str]:
    """The value as it will be printed; empty when there is none. Raises UnfitValue when it isn't of that kind."""
    return "" if value is None else KINDS[kind](value)
