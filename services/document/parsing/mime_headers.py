"""The headers of an email and of its parts (RFC 5322, 2045, 2183, 2231), as far as they say what the parts are."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from email.headerregistry import ContentDispositionHeader, ContentTypeHeader
from email.policy import default as policy
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar, cast

from services.document.parsing.attachments import LONGEST_NAME

Header = TypeVar("Header", ContentTypeHeader, ContentDispositionHeader)

_FIELD: Final = re.compile(rb"([!-9;-~]+)[ \t]*:(.*)", re.DOTALL)
_FOLD: Final = re.compile(rb"\r?\n(?=[ \t])")
_ENVELOPE: Final = re.compile(rb">?From ")  # the line that mailboxes put before an email
_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
_UNKNOWN: Final = "application/octet-stream"
_LONGEST_FIELD = 16 * 1024  # bytes of one that is read
# What turns the direction of writing: with it "gpj.exe" is shown as "exe.jpg".
_TURNING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What the headers of an email, or of a part of one, say of it. encoding: of its body, in lower case."""

    media_type: str
    boundary: bytes | None
    name: str | None
    is_attached: bool
    encoding: str
    is_locked: bool

    @property
    def is_multipart(self) -> bool:
        return self.media_type.startswith("multipart/")

    @property
    def is_text_of_the_email(self) -> bool:
        """Whether a mail program shows it as the email's own words."""
        return self.media_type in ("text/plain", "text/html") and not self.is_attached and self.name is None


def are_fields(block: bytes) -> bool:
    """Whether the block is made of fields and nothing else."""
    lines = _lines(block)
    return bool(lines) and all(map(_FIELD.fullmatch, lines))


def fields_of(block: bytes) -> Mapping[str, bytes]:
    """The first field of each name, in lower case, with what it says. Lines that aren't fields are passed over."""
    fields: dict[str, bytes] = {}
    for match in map(_FIELD.fullmatch, _lines(block)):
        if match is not None:
            fields.setdefault(match[1].decode("ascii").lower(), match[2].strip())
    return fields


def _lines(block: bytes) -> list[bytes]:
    """The fields, each on one line, without the line that a mailbox puts before an email."""
    lines = _FOLD.sub(b"", block).splitlines()
    return lines[1:] if lines and _ENVELOPE.match(lines[0]) else lines


def is_of_an_email(fields: Mapping[str, bytes]) -> bool:
    """Whether these are the fields of an email: it was received, or it has a sender, and a date or MIME's own field
    (RFC 5322, 3.6; RFC 2045, 4).

    A letter that begins with "From: the school" or "Received: today" has no address there, and no date with a time.
    """
    if b";" in fields.get("received", b""):  # what stands before the time (RFC 5322, 3.6.7)
        return True
    if b"@" not in fields.get("from", b""):
        return False
    if "date" not in fields:  # a draft, as mail programs save one
        return "mime-version" in fields
    try:
        parsedate_to_datetime(fields["date"][:_LONGEST_FIELD].decode("ascii", "replace"))
    except (ValueError, OverflowError):
        return "mime-version" in fields
    return True


def part_of(fields: Mapping[str, bytes], *, default: str) -> Part:
    """What the fields say. default: the media type where they say none."""
    content = _parsed(ContentTypeHeader, "Content-Type", fields.get("content-type", default.encode()))
    disposition = _parsed(ContentDispositionHeader, "Content-Disposition", fields.get("content-disposition", b""))
    media_type = content.content_type.lower() if content is not None else default
    params = dict(content.params) if content is not None else {}
    told = dict(disposition.params).get("filename") if disposition is not None else None
    boundary = params.get("boundary")
    return Part(
        media_type=media_type if _TYPE.fullmatch(media_type) else _UNKNOWN,
        boundary=boundary.encode("utf-8", "replace") if boundary else None,
        name=_cleaned(told or params.get("name")),
        # Also where its name can't be read.
        is_attached=fields.get("content-disposition", b"").lower().startswith(b"attachment"),
        encoding=fields.get("content-transfer-encoding", b"7bit").decode("ascii", "replace").strip().lower(),
        is_locked=media_type == "multipart/encrypted"
        or (
            media_type in ("application/pkcs7-mime", "application/x-pkcs7-mime")
            and str(params.get("smime-type", "")).lower() in ("enveloped-data", "authenveloped-data")
        ),
    )


def _parsed(kind: type[Header], name: str, raw: bytes) -> Header | None:
    """The field, parsed. None where it can't be; also one that is longer than any a mail program writes."""
    if not raw or len(raw) > _LONGEST_FIELD:
        return None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    try:
        return cast(Header, policy.header_factory(name, text))
    except Exception:  # noqa: BLE001 - the parser of headers has raised many kinds of errors over hostile ones
        return None


def _cleaned(name: object) -> str | None:
    """A name as it may be shown: on one line, without what turns the direction of writing."""
    if not isinstance(name, str):
        return None
    shown = "".join(
        letter if unicodedata.category(letter)[0] != "C" or letter in "\u200c\u200d" else " "
        for letter in name[:LONGEST_NAME]
        if letter not in _TURNING
    )
    return shown.strip() or None
