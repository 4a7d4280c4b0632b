"""What was found in a file's bytes, as plain values that cross from one process to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from services.document.parsing.attachments import MOST_ATTACHMENTS, Attachment
from services.document.parsing.media_types import EMAIL, PAGED, PDF, UNPAGED

#: What in a file can do more than be shown.
WARNINGS: Final = (
    "embedded_files", "external_content", "javascript", "launch_action", "macros", "trailing_archive",
)  # fmt: skip
_MOST_PAGES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A file's media type and its number of pages: a picture that is not a TIFF has one; text, emails and office
    documents, whose pages are made by the program that shows them, have None.

    warnings: some of WARNINGS, in their order. attachments: those of an email. locked: a PDF that took a password to
    open, and that `unlock` opens.
    """

    media_type: str
    pages: int | None
    warnings: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    locked: bool = False

    @property
    def may_have_password(self) -> bool:
        return self.media_type == PDF

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """What a process says that a hostile file may have taken over: only what an inspection can say.

        Raises ValueError.
        """
        media_type, pages = str(said.get("media_type")), said.get("pages")
        if media_type in PAGED:
            fits = type(pages) is int and 1 <= pages <= _MOST_PAGES
        else:
            fits = media_type in UNPAGED and pages is None
        warnings, told = said.get("warnings"), said.get("attachments")
        if not fits or not isinstance(warnings, list | tuple) or not isinstance(told, list | tuple):
            raise ValueError("no inspection says so")
        if any(warning not in WARNINGS for warning in warnings):
            raise ValueError("no inspection says so")
        locked = said.get("locked")
        if type(locked) is not bool or (locked and media_type != PDF):
            raise ValueError("no inspection says so")
        if len(told) > (MOST_ATTACHMENTS if media_type == EMAIL else 0):
            raise ValueError("no inspection says so")
        attachments = tuple(Attachment.of(number, one) for number, one in enumerate(told, 1))
        ordered = tuple(one for one in WARNINGS if one in warnings)
        return cls(media_type=media_type, pages=pages, warnings=ordered, attachments=attachments, locked=locked)
