"""What an email has attached, as it is told: names are personal, and never come out in an error or a log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

MOST_ATTACHMENTS = 500  # of one email
LONGEST_NAME = 255  # characters
LONGEST_MEDIA_TYPE = 255  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One attachment: its number (from 1), its name and media type as the email tells them, its size in bytes."""

    number: int
    name: str | None
    media_type: str
    size: int

    @classmethod
    def of(cls, number: int, said: Any) -> Self:
        """What another process says of the attachment of that number. Raises ValueError."""
        if not isinstance(said, Mapping) or said.get("number") != number:
            raise ValueError("no attachment is like that")
        name, media_type, size = said.get("name"), said.get("media_type"), said.get("size")
        if not isinstance(media_type, str) or len(media_type) > LONGEST_MEDIA_TYPE or type(size) is not int or size < 0:
            raise ValueError("no attachment is like that")
        if name is not None and not (isinstance(name, str) and 0 < len(name) <= LONGEST_NAME):
            raise ValueError("no attachment is like that")
        return cls(number=number, name=name, media_type=media_type, size=size)
