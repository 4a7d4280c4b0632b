"""What a document brings on its way in, and what it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from services.document.model.documents import Document
from services.document.upload.form import Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """A document that was taken in. same_as: the oldest document of the case that has, or had, the same bytes."""

    document: Document
    same_as: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What the caller says about a document."""

    kind: str
    source: str
    title: str | None
    paper_file_id: str | None
    attachment_of: str | None = None
    attached_version: int | None = None
    attached_number: int | None = None


class Incoming(Protocol):
    """A document on its way in, as the HTTP side hands it over. takes_password: whether one could come with it."""

    takes_password: bool

    def open(self) -> Body:
        """Read the body up to the file. Raises the errors of `read_form`."""
        ...

    def early_details(self, fields: Mapping[str, str]) -> Details | None:
        """What came before the file, if that is already enough to ask for consent. Raises Invalid."""
        ...

    def details(self, fields: Mapping[str, str]) -> Details:
        """What all the fields say. Raises Invalid."""
        ...

    def password(self, fields: Mapping[str, str]) -> str | None:
        """What opens the file, if it was sent. Raises Invalid."""
        ...

    def claim(self, fields: Mapping[str, str], sha256: str) -> None:
        """Claim the caller's idempotency key, now that the body is known."""
        ...

    def stop_reading(self) -> None:
        """Wake a read that waits for the caller."""
        ...

    @property
    def caller(self) -> int | None:
        """The descriptor of the caller's connection."""
        ...
