"""Documents and their versions, where they came from, and which bytes of one are asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

KINDS = ("ehc_plan", "early_help", "meeting_notes", "report", "letter", "form", "other")
FAMILY = "family"
ACCEPTED, QUARANTINED, REMOVING = "accepted", "quarantined", "removing"
STATES = (ACCEPTED, QUARANTINED, REMOVING)

_RANGE = re.compile(r"\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", re.ASCII | re.IGNORECASE)
_LONGEST_RANGE = 60  # characters: two places in a file, with room to spare


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What is known of one version's bytes: `size` in bytes, `sha256` in lower-case hex."""

    media_type: str
    size: int
    sha256: str
    pages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version. `id` is the id of the upload that brought it; `keyset` opens its object."""

    id: str
    case_id: str
    document_id: str
    number: int
    content: Content
    keyset: bytes
    at: datetime

    @property
    def object_key(self) -> str:
        return object_key(self.case_id, self.document_id, self.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document, and the content of its newest version. `source` is `family` or an organisation's id.

    etag: counts its changes; number: its newest version.
    """

    id: str
    case_id: str
    etag: int
    kind: str
    state: str
    source: str
    title: str | None
    paper_file_id: str | None
    number: int
    content: Content
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Casework:
    """Whether the family agreed to a file at all, and until when (None: until they say otherwise)."""

    given: bool
    until: datetime | None

    def stands(self, now: datetime) -> bool:
        return self.given and (self.until is None or now < self.until)


NO_CASEWORK = Casework(given=False, until=None)


class OutOfRange(Exception):
    """The range that was asked for begins behind the end of the content, of `size` bytes."""

    def __init__(self, size: int) -> None:
        super().__init__("out of range")
        self.size = size


@dataclass(frozen=True, slots=True)
class ByteRange:
    """`length` bytes from `start`."""

    start: int
    length: int

    @property
    def end(self) -> int:
        """The last byte's place, inclusive as HTTP counts."""
        return self.start + self.length - 1


def object_key(case_id: str, document_id: str, number: int) -> str:
    """Where a version lies in the object store; also the associated data of its encryption."""
    return f"{case_id}/{document_id}/{number}"


def byte_range(header: str | None, size: int) -> ByteRange | None:
    """The one range a Range header asks for; None to send everything (RFC 9110, 14.2).

    What isn't a single range of bytes is passed over, as the RFC allows. Raises OutOfRange.
    """
    match = _RANGE.fullmatch(header) if header and len(header) <= _LONGEST_RANGE else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        length = min(int(match[2]), size)
        if length == 0:
            raise OutOfRange(size)
        return ByteRange(size - length, length)
    start = int(match[1])
    end = int(match[2]) if match[2] else size - 1
    if match[2] and end < start:
        return None
    if start >= size:
        raise OutOfRange(size)
    return ByteRange(start, min(end, size - 1) - start + 1)
