"""What was found in a file's bytes, as plain values that cross from one process to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

PDF = "application/pdf"
MEDIA_TYPES = (PDF, "image/jpeg", "image/png", "image/tiff")
#: What in a file can do more than be shown.
WARNINGS = ("embedded_files", "javascript", "launch_action", "trailing_archive")
_MOST_PAGES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a file is. pages: a picture that is not a TIFF has one.

    warnings: some of WARNINGS, in their order. locked: a PDF that took a password to open, and that `unlock` opens.
    """

    media_type: str
    pages: int
    warnings: tuple[str, ...] = ()
    locked: bool = False

    @property
    def may_have_password(self) -> bool:
        return self.media_type == PDF

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """What a process says that a hostile file may have taken over: only what an inspection can say.

        Raises ValueError.
        """
        media_type, pages = said.get("media_type"), said.get("pages")
        if media_type not in MEDIA_TYPES or type(pages) is not int or not 1 <= pages <= _MOST_PAGES:
            raise ValueError("no inspection says so")
        warnings, locked = said.get("warnings"), said.get("locked")
        if not isinstance(warnings, list | tuple) or not all(one in WARNINGS for one in warnings):
            raise ValueError("no inspection says so")
        if type(locked) is not bool or (locked and media_type != PDF):
            raise ValueError("no inspection says so")
        ordered = tuple(one for one in WARNINGS if one in warnings)
        return cls(media_type=media_type, pages=pages, warnings=ordered, locked=locked)
