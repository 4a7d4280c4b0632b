"""References: what stands on a letter and is said on the phone, drawn at random, without look-alikes."""

from __future__ import annotations

import secrets
from typing import Final

from shared.fields import Reference

# Of letters and digits that look alike one is used; E is left out so that few words can be spelled.
ALPHABET: Final = "ACDFHJKMNPQRTVWXY23456789"
_HALF: Final = 4
# What is read or written for one of ours by mistake.
_LOOK_ALIKES: Final = str.maketrans({"O": "Q", "0": "Q", "1": "7", "I": "7", "L": "7", "Z": "2", "S": "5", "B": "8",
                                     "U": "V", "G": "6"})  # fmt: skip


def new_reference() -> str:
    """A reference such as `K7MW-3FQA`: one of 150,000 million."""
    drawn = "".join(secrets.choice(ALPHABET) for _ in range(2 * _HALF))
    return f"{drawn[:_HALF]}-{drawn[_HALF:]}"


def read_reference(text: str) -> str | None:
    """The reference meant by what was typed or heard (`k7mw 3fqa`); None when it can't be one."""
    letters = "".join(character for character in text.upper() if character.isalnum()).translate(_LOOK_ALIKES)
    if len(letters) != 2 * _HALF:
        return None
    written = f"{letters[:_HALF]}-{letters[_HALF:]}"
    return written if Reference().accepts(written) else None


class ReferenceTaken(Exception):
    """Another case has the reference that was drawn: draw again."""
