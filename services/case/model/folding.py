"""Folding: the one form in which two spellings of a name, a postcode or an address of email are the same.

Capitals, accents, spaces and punctuation don't matter, and letters that no accent explains (Ł, Ø, Æ, ß and their
like) become the plain ones that people type for them. Letters of other scripts stay.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# Lower-case letters that Unicode doesn't take apart; the plain ones are those of ICU's Latin-ASCII and ICAO 9303.
_PLAIN: Final = str.maketrans(
    {
        "ł": "l", "ƚ": "l", "ɫ": "l", "ø": "o", "æ": "ae", "œ": "oe", "ß": "ss", "þ": "th", "ð": "d", "đ": "d",
        "ɖ": "d", "ɗ": "d", "ħ": "h", "ı": "i", "ɨ": "i", "ĸ": "k", "ƙ": "k", "ŋ": "n", "ɲ": "n", "ƞ": "n",
        "ŧ": "t", "ƭ": "t", "ʈ": "t", "ƀ": "b", "ɓ": "b", "ƈ": "c", "ƒ": "f", "ǥ": "g", "ɠ": "g", "ƥ": "p",
        "ɍ": "r", "ʋ": "v", "ƴ": "y", "ɏ": "y", "ƶ": "z", "ȥ": "z", "ə": "e", "ǝ": "e", "ɛ": "e", "ɔ": "o",
        "ʉ": "u", "ɵ": "o",
    }
)  # fmt: skip


# ß, final sigma and the joiners: IDNA 2003 mapped them to other letters or to nothing. Domains that differ only in one
# of them may be two people's.
_OF_DOMAINS: Final = re.compile("([\u00df\u03c2\u200c\u200d])")


def fold_domain(domain: str) -> str:
    """A domain in its own small letters (IDNA 2008) as `fold`, but `faß.example` isn't `fass.example`."""
    parts = _OF_DOMAINS.split(domain)
    return "".join(part if number % 2 else fold(part) for number, part in enumerate(parts))


def fold(text: str) -> str:
    """`Müller-Łukasz` and `MULLER LUKASZ` as `mullerlukasz`; empty when it has neither letter nor digit."""
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(character for character in apart.translate(_PLAIN) if _counts(character))


def _counts(character: str) -> bool:
    """Letters, digits, and the vowel signs of scripts that write them as marks; no accents, no punctuation.

    Modifier letters (category Lm) stand where people type an apostrophe, as the Hawaiian okina does.
    """
    category = unicodedata.category(character)
    if category[0] in "LN":
        return category != "Lm"
    return category[0] == "M" and unicodedata.combining(character) == 0 and not 0xFE00 <= ord(character) <= 0xFE0F
