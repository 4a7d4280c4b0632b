"""What was found in a file's bytes, as plain values that cross from one process to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

MEDIA_TYPES = ("application/pdf", "image/jpeg", "image/png", "image/tiff")
_MOST_PAGES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A file's media type and its number of pages; a picture that is not a TIFF has one."""

    media_type: str
    pages: int

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """What a process says that a hostile file may have taken over: only what an inspection can say.

        Raises ValueError.
        """
        media_type, pages = said.get("media_type"), said.get("pages")
        if media_type not in MEDIA_TYPES or type(pages) is not int or not 1 <= pages <= _MOST_PAGES:
            raise ValueError("no inspection says so")
        return cls(media_type=media_type, pages=pages)
