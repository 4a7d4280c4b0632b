"""Every way an upload can be refused, each with a sentence for the person who sent it.

A sentence never repeats a file's name, a field's content or a library's words about either: those can hold a
family's data.
"""

from __future__ import annotations

from enum import Enum

from shared.errors import Invalid, TooLarge, UnreadableFile, UnsupportedMediaType


class Incomplete(Invalid):
    """The body ended, or the connection broke, before the end of the form or of the file."""

    def __init__(self) -> None:
        super().__init__("The upload ended before it was whole. Nothing was kept; please send it again.")


class NotAForm(UnsupportedMediaType):
    """The content type is not a multipart form with a boundary."""

    def __init__(self) -> None:
        super().__init__("A document is sent as multipart/form-data with a boundary. Nothing was kept.")


class MalformedForm(Invalid):
    """The body does not follow RFC 7578, or has more parts, headers or padding than a form of ours needs."""

    def __init__(self, sentence: str = "The form's parts can't be told apart. Nothing was kept.") -> None:
        super().__init__(sentence)


class BadField(Invalid):
    """One field of the form is missing, unknown, sent twice, too long or not text. field: None for the whole form."""

    def __init__(self, field: str | None, sentence: str) -> None:
        super().__init__(sentence, errors={} if field is None else {field: [sentence]})


class FileTooLarge(TooLarge):
    """The file passed the limit (bytes). The rest of the body is still to be read and dropped."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The file is larger than {limit} bytes, the most that is taken. Nothing was kept.")


class UnsupportedType(UnsupportedMediaType):
    """The content is of no kind that is kept, under any name."""

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


class Damaged(Exception):
    """Stored ciphertext doesn't open: cut, reordered, changed, of another object or under another key."""

    def __init__(self) -> None:
        super().__init__("A stored file doesn't decrypt: it was cut, changed or exchanged.")
