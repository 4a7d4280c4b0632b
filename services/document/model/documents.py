"""Documents and their versions, uploads, and which bytes of a file are asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from shared.clock import LONG_AGO
from shared.errors import RangeNotSatisfiable

KINDS = ("ehc_plan", "early_help", "meeting_notes", "report", "letter", "form", "other")
#: The media types of the kinds that are kept, and what a file's warnings may be.
MEDIA_TYPES = (
    "application/pdf",
    "image/jpeg",
    "image/png",
    "image/tiff",
    "image/heic",
    "image/heif",
    "image/webp",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.ms-word.document.macroEnabled.12",
    "application/vnd.ms-excel.sheet.macroEnabled.12",
    "application/vnd.oasis.opendocument.text",
    "text/plain",
    "message/rfc822",
)
EMAIL = "message/rfc822"
WARNINGS = ("embedded_files", "external_content", "javascript", "launch_action", "macros", "trailing_archive")
FAMILY = "family"
ACCEPTED, QUARANTINED, RETURNED, REMOVING = "accepted", "quarantined", "returned", "removing"
STATES = (ACCEPTED, QUARANTINED, RETURNED, REMOVING)
#: Why a document is in quarantine.
NO_CONSENT, MALWARE = "no_consent", "malware"
REASONS = (NO_CONSENT, MALWARE)
LIVE, ABORTED = "live", "aborted"
#: Kinds of file that have pages to be shown as pictures.
PREVIEWED = frozenset(
    {"application/pdf", "image/jpeg", "image/png", "image/tiff", "image/heic", "image/heif", "image/webp"}
)

_RANGE = re.compile(r"\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", re.ASCII | re.IGNORECASE)
_LONGEST_RANGE = 60  # characters: two places in a file, with room to spare
_OUTSIDE = "The range asked for lies outside the file."


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What an email has attached: its number (from 1), its name and media type as the email tells them, its bytes."""

    number: int
    name: str | None
    media_type: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What is known of a file's bytes, as they are kept: `size` in bytes, `sha256` in lower-case hex.

    pages: None where the file has none (text, emails, office documents). warnings: what in it can do more than be shown
    (see `parsing.inspection.Inspection`). attachments: those of an email. sha256_as_sent: of the bytes that were sent,
    where others are kept: those of a PDF that was opened with its password.
    """

    media_type: str
    size: int
    sha256: str
    pages: int | None
    warnings: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    sha256_as_sent: str | None = None

    def as_content(self) -> dict[str, Any]:
        """The fields of its content, for a record that has them too."""
        return {field.name: getattr(self, field.name) for field in fields(Content)}

    @property
    def previewable(self) -> bool:
        """Whether a page of it can be shown as a picture: of nothing that can do more than be shown."""
        return self.media_type in PREVIEWED and not self.warnings


@dataclass(frozen=True, slots=True, kw_only=True)
class Version(Content):
    """One version of a document. `id` is the id of the upload that brought it; `keyset` opens its object.

    place: where its object lies, if its document came from another case; by its number otherwise.
    """

    id: str
    case_id: str
    document_id: str
    number: int
    keyset: bytes
    at: datetime
    place: int | None = None

    @property
    def object_key(self) -> str:
        return object_key(self.case_id, self.document_id, self.place or self.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One time the document came from another case: why, who moved it (the opaque `sub`), and when."""

    reason: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineEntry:
    """One line of a document's history in quarantine.

    what: `quarantined`, `lifted` (by itself), `released` (by a manager) or `returned`. reason: why it was closed.
    number: the document's newest version at that time. by: the `sub` of the member of staff, None where it came about
    by itself. words: the manager's reason, or the name of the scanner's signature.
    """

    what: str
    reason: str
    number: int
    at: datetime
    by: str | None = None
    words: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """To whom a document was given back, by whom, and when."""

    to: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Document(Content):
    """One document, and the content of its newest version. `source` is `family` or an organisation's id.

    version: counts its changes; number: its newest version. reason: why it is in quarantine (see `closed_for`).
    infected: the numbers of the versions in which malware was found. Of one that was returned, no content is left.
    attachment_of: the email that brought it, if one did, as the attachment `attached_number` of its version
    `attached_version`.
    """

    id: str
    case_id: str
    version: int = 1
    kind: str
    state: str
    source: str
    title: str | None
    paper_file_id: str | None
    number: int
    created_at: datetime
    reason: str | None = None
    infected: tuple[int, ...] = ()
    history: tuple[QuarantineEntry, ...] = ()
    returned: Returned | None = None
    moves: tuple[Move, ...] = ()
    attachment_of: str | None = None
    attached_version: int | None = None
    attached_number: int | None = None

    @property
    def closed_for(self) -> str | None:
        """Why it is in quarantine; None where it isn't. What older versions stored says nothing: it lacked consent."""
        return (self.reason or NO_CONSENT) if self.state == QUARANTINED else None

    @property
    def quarantined_at(self) -> datetime:
        """When it last came into quarantine."""
        return next((one.at for one in reversed(self.history) if one.what == QUARANTINED), self.created_at)

    @property
    def previewable(self) -> bool:
        """Whether a page of its newest version can be shown as a picture: of none that is kept closed."""
        return self.state == ACCEPTED and self.media_type in PREVIEWED and not self.warnings


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One upload on its way in: which version of which document it brings. beat_at: by the database's clock.

    place: see `Version`. moved_from: the case that it is copied from, of a document that is being moved.
    """

    id: str
    case_id: str
    document_id: str
    number: int
    place: int | None = None
    moved_from: str | None = None
    state: str = field(default=LIVE, compare=False)
    beat_at: datetime = field(default=LONG_AGO, compare=False)

    @property
    def object_key(self) -> str:
        return object_key(self.case_id, self.document_id, self.place or self.number)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """`length` bytes from `start`."""

    start: int
    length: int

    @property
    def end(self) -> int:
        """The last byte's place, inclusive as HTTP counts."""
        return self.start + self.length - 1


def object_key(case_id: str, document_id: str, place: int) -> str:
    """Where a version lies in the object store; also the associated data of its encryption."""
    return f"{case_id}/{document_id}/{place}"


def oldest_with(versions: Iterable[Version], sha256: str) -> str | None:
    """The oldest document that has, or had, these bytes; None where no version has them."""
    return min((version.document_id for version in versions if version.sha256 == sha256), default=None)


def byte_range(header: str | None, size: int) -> ByteRange | None:
    """The one range that a Range header asks for; None to send everything (RFC 9110, 14.2).

    A header that isn't a single range of bytes is ignored, as the RFC allows. Raises RangeNotSatisfiable.
    """
    match = _RANGE.fullmatch(header) if header and len(header) <= _LONGEST_RANGE else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        length = min(int(match[2]), size)
        if length == 0:
            raise RangeNotSatisfiable(_OUTSIDE, size=size)
        return ByteRange(size - length, length)
    start = int(match[1])
    end = int(match[2]) if match[2] else size - 1
    if match[2] and end < start:
        return None
    if start >= size:
        raise RangeNotSatisfiable(_OUTSIDE, size=size)
    return ByteRange(start, min(end, size - 1) - start + 1)
