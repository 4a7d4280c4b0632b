"""Every way an upload can be refused, each with a sentence for the person who sent it.

A sentence never repeats a file's name, a field's content or a library's words about either: those can hold a
family's data.
"""

from __future__ import annotations

from shared.errors import Invalid, TooLarge, UnsupportedMediaType


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


class Damaged(Exception):
    """Stored ciphertext doesn't open: cut, reordered, changed, of another object or under another key."""

    def __init__(self) -> None:
        super().__init__("A stored file doesn't decrypt: it was cut, changed or exchanged.")
