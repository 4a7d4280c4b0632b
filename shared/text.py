"""What can be seen of a text: its ends without invisible characters, and whether anything is left to read."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final

#: Zero-width joiner and non-joiner: Persian, Urdu and Indian words need them.
JOINERS: Final = "\u200c\u200d"
# Letters, marks and symbols by their category, that Unicode makes default-ignorable, or that are blank by design.
_BLANK_BY_DESIGN: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {
    chr(code)
    for first, last in ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
    for code in range(first, last + 1)
}
_SEEN: Final = frozenset("LNPS")
_VIRAMA: Final = 9


def is_invisible(character: str) -> bool:
    """Whether it shows nothing by itself: a space, a control or format character, a filler, or no character at all."""
    return unicodedata.category(character)[0] in "ZC" or character in _BLANK_BY_DESIGN


def has_something_visible(text: Iterable[str]) -> bool:
    """Whether there is a letter, a digit, a punctuation mark or a symbol in it that can be seen."""
    return any(unicodedata.category(one)[0] in _SEEN and one not in _BLANK_BY_DESIGN for one in text)


def trimmed(text: str) -> str:
    """The text without spaces and invisible characters at its ends.

    A joiner at the end stays behind a virama: there it makes a letter of its own (Malayalam, Sinhala, Bengali).
    """
    start, end = 0, len(text)
    while start < end and is_invisible(text[start]):
        start += 1
    while end > start and is_invisible(text[end - 1]):
        end -= 1
    if end < len(text) and text[end] in JOINERS and unicodedata.combining(text[end - 1]) == _VIRAMA:
        end += 1
    return text[start:end]
