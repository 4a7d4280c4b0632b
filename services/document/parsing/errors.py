"""Why a file isn't taken, each reason with a sentence for the person who sent it.

A sentence never repeats a file's name or a library's words about it: those can hold a family's data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from typing import Final

from shared.errors import NotFound, Problem, UnreadableFile, UnsupportedMediaType


class UnsupportedType(UnsupportedMediaType):
    """The content is of no kind that is kept, under any name."""

    refusal = "unsupported-type"

    def __init__(self) -> None:
        super().__init__("By its content the file is not a PDF, JPEG, PNG or TIFF. Nothing was kept.")


class Reason(Enum):
    """Why a file of a known kind can't be read."""

    EMPTY = "The file is empty."
    LOCKED = "The file is encrypted or locked with a password; please send one that opens without."
    BROKEN = "The file is damaged or not whole, so that part of it would be missing; please send it again."
    NO_PAGES = "The file has no pages."
    TOO_MUCH = "The file has more pages, objects or pixels than can be opened safely; please send it in parts."


class Unreadable(UnreadableFile):
    """The file is of a kind that is kept, but can't be opened whole."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"{reason.value} Nothing was kept.")
        self.reason = reason
        self.refusal = f"unreadable-{reason.name}"


class NoSuchPage(NotFound):
    """The file has fewer pages than that."""

    refusal = "no-such-page"

    def __init__(self) -> None:
        super().__init__("The document has no such page.")


#: Every refusal by the word under which a child process tells it, and what it is on the other side.
REFUSALS: Final[Mapping[str, Callable[[], Problem]]] = {
    UnsupportedType.refusal: UnsupportedType,
    NoSuchPage.refusal: NoSuchPage,
    **{f"unreadable-{reason.name}": partial(Unreadable, reason) for reason in Reason},
}
