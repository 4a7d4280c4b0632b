"""The blank consent pack: the privacy statement and a form for a handwritten envelope, with no name on it."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.notifier.letters.rendering import office_words, points_of, typeset
from services.notifier.letters.words import REGULATOR, clean, london_day
from shared.office import Office

_SOURCE: Final = "_pack/pack.typ"
_HALF: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """The privacy statement in one version: its text (Markdown) and that text's SHA-256 in hex."""

    version: str
    text: str
    sha256: str


def render_pack(statement: Statement, *, office: Office, formats: Collection[str] = (), now: datetime) -> bytes:
    """The pack as one PDF/A-2b and PDF/UA-1 file; the same on the same day. Raises UnknownFormat, RenderingFailed."""
    day = london_day(now)
    pack = {
        "values": {},
        "office": office_words(office),
        "regulator": dict(REGULATOR),
        "day": [day.year, day.month, day.day],
        "points": points_of(formats),
        "statement": {
            "version": clean(statement.version),
            # In parts, since a place to break is put into each word that is longer than a line of a letter could be.
            "sha256": [clean(statement.sha256[:_HALF]), clean(statement.sha256[_HALF:])],
            "parts": parts_of(statement.text),
        },
    }
    return typeset(_SOURCE, pack, day)


def parts_of(text: str) -> list[dict[str, Any]]:
    """What a statement is made of, in order: {kind: heading|paragraph|item, runs: [{text, strong}]}.

    Of Markdown it reads headings, items and what is strong, which is all that statements are written in; anything
    else is printed as it stands. The statement's own title is left out: the pack has one.
    """
    parts: list[dict[str, Any]] = []
    for block in re.split(r"\n\s*\n", text.strip()):
        if block.startswith("# "):
            continue
        if block.startswith("- "):
            parts += [_part("item", item) for item in re.split(r"\n(?=- )", block)]
        elif block.startswith("#"):
            parts.append(_part("heading", block))
        else:
            parts.append(_part("paragraph", block))
    return parts


def _part(kind: str, block: str) -> dict[str, Any]:
    words = clean(re.sub(r"^(#+|-) ", "", block))
    runs = re.split(r"\*\*(.+?)\*\*", words)
    return {
        "kind": kind,
        "runs": [{"text": run, "strong": number % 2 == 1} for number, run in enumerate(runs) if run],
    }
