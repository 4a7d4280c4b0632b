"""An upload read as it streams in: the fields in memory, the file pulled by the caller, nothing on a disk.

Flask's own form parser writes parts over 500 kB to a temporary file in the clear, so it isn't used.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)
from werkzeug.exceptions import ClientDisconnected

from services.document.upload.errors import BadField, FileTooLarge, Incomplete, MalformedForm, NotAForm
from services.document.upload.readable import CHUNK, Readable

FILE = "file"
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{1,70}")  # RFC 2046, 5.1.1
_PADDING = 4 * CHUNK  # bytes before the first part or after the last one
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
# Codecs of Python's that write text as other text: no charset is named so.
_NO_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most an upload may bring: bytes of file, bytes of one field, parts."""

    file_bytes: int
    field_bytes: int = 8 * 1024
    parts: int = 16


class Body(Protocol):
    """What comes in, read up to its file: the fields before the file, the file, and what follows it."""

    @property
    def fields(self) -> Mapping[str, str]: ...

    @property
    def file(self) -> Readable: ...

    def finish(self) -> Mapping[str, str]:
        """All the fields, once the file was pulled to its end."""
        ...


class Form:
    """A form that has been read up to its file.

    `fields` holds those that came before it. Pull `file` to its end, then `finish()` reads the rest and gives
    all the fields. Every step raises the errors of `read_form`.
    """

    def __init__(self, parts: Iterator[MultipartSegment | bytes | None], fields: _Fields, file: FilePart) -> None:
        self._parts = parts
        self._fields = fields
        self.file = file

    @property
    def fields(self) -> dict[str, str]:
        return dict(self._fields.values)

    def finish(self) -> dict[str, str]:
        """Read what follows the file, to the end of the body."""
        if not self.file.ended:
            raise RuntimeError("the file is to be pulled to its end first")
        self._fields.read_up_to_file(self._parts)
        return self.fields


class FilePart:
    """The form's file, as a readable that is pulled straight from the connection."""

    def __init__(self, parts: Iterator[MultipartSegment | bytes | None], limit: int) -> None:
        self._parts = parts
        self._limit = limit
        self._chunk = memoryview(b"")
        self._size = 0
        self.ended = False

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes, b"" at the end; everything when negative. Raises what `read_form` raises."""
        if size < 0:
            return b"".join(iter(lambda: self.read(CHUNK), b""))
        while not self._chunk and not self.ended and size:
            self._next()
        data = bytes(self._chunk[:size])
        self._chunk = self._chunk[size:]
        return data

    def _next(self) -> None:
        event = next(self._parts, b"")
        if event == b"":  # it failed before, and is read on nevertheless
            raise Incomplete
        if event is None:
            self.ended = True
            return
        assert isinstance(event, bytes | bytearray)  # noqa: S101 - a part's start never comes inside a part
        self._size += len(event)
        if self._size > self._limit:
            raise FileTooLarge(self._limit)
        self._chunk = memoryview(event)


def read_form(stream: Readable, content_type: str, *, allowed: Collection[str], limits: Limits) -> Form:
    """Read a form of the fields `allowed` and one `file`, in any order, up to the file's first byte.

    `stream` is the request's body. Raises NotAForm, MalformedForm, Incomplete, BadField (with the field's name)
    and, from the file, FileTooLarge. Whether a field is required, and its meaning, is the caller's to say.
    """
    media_type, options = parse_options_header(content_type)
    boundary = options.get("boundary", "")
    if media_type != "multipart/form-data" or not _BOUNDARY.fullmatch(boundary):
        raise NotAForm
    # In Latin-1 every byte is a character. A file's name may be in any charset: no part of it is kept.
    parser = PushMultipartParser(boundary, max_segment_count=limits.parts, header_charset="latin-1")
    parts = _events(stream, parser)
    fields = _Fields(allowed, limits.field_bytes)
    if not fields.read_up_to_file(parts):
        raise BadField(FILE, "The form has no file in it.")
    return Form(parts, fields, FilePart(parts, limits.file_bytes))


class _Fields:
    """The form's fields so far, and the names already met."""

    def __init__(self, allowed: Collection[str], limit: int) -> None:
        self._allowed = frozenset(allowed)
        self._limit = limit
        self._met: set[str] = set()
        self.values: dict[str, str] = {}

    def read_up_to_file(self, parts: Iterator[MultipartSegment | bytes | None]) -> bool:
        """Read fields until the file begins (True) or the form ends (False)."""
        for event in parts:
            if not isinstance(event, MultipartSegment):
                raise MalformedForm
            name = self._admit(event)
            if name == FILE:
                return True
            self.values[name] = self._text(name, event.charset, parts)
        return False

    def _admit(self, part: MultipartSegment) -> str:
        """The part's name, if a part of that name may come now."""
        name = part.name or ""
        if name != FILE and name not in self._allowed:
            # A name that isn't a plain word is not repeated: anything could be in it.
            raise BadField(name if _NAME.fullmatch(name) else None, "A document has no such field.")
        if name in self._met:
            raise BadField(name, "This field is sent once.")
        self._met.add(name)
        if part.header("Content-Transfer-Encoding", "binary").lower() not in ("binary", "7bit", "8bit"):
            raise BadField(name, "A part is sent as it is, without a transfer encoding (RFC 7578, 4.7).")
        return name

    def _text(self, name: str, charset: str | None, parts: Iterator[MultipartSegment | bytes | None]) -> str:
        """What the part says, in the charset that it names (RFC 7578, 4.4), which is UTF-8 by default."""
        encoding = _encoding(name, charset)
        content = bytearray()
        for event in parts:
            if event is None:
                break
            assert isinstance(event, bytes | bytearray)  # noqa: S101 - a part's start never comes inside a part
            content += event
            if len(content) > self._limit:
                raise BadField(name, f"A field is at most {self._limit} bytes long.")
        try:
            return content.decode(encoding)
        except ValueError:
            raise BadField(
                name, "This isn't text in the charset that it names, or in UTF-8 where it names none."
            ) from None


def _encoding(name: str, charset: str | None) -> str:
    """The codec of a part's charset. Raises BadField for one that no text is sent in."""
    try:
        found = codecs.lookup((charset or "utf-8").strip())
    except (LookupError, ValueError):
        found = None
    if found is None or found.name in _NO_CHARSETS or not found._is_text_encoding:
        raise BadField(name, "This charset isn't known here. Send the text in UTF-8.")
    # A byte order mark says how to read what follows, and is no part of it.
    return "utf-8-sig" if found.name == "utf-8" else found.name


def _events(stream: Readable, parser: PushMultipartParser) -> Iterator[MultipartSegment | bytes | None]:
    """What the parser sees, pulled from the body chunk by chunk, to the body's end."""
    silent = 0  # bytes since the last event: what stands before the first part or after the last one
    while True:
        try:
            chunk = stream.read(CHUNK)
        except (OSError, ClientDisconnected):  # gunicorn and Werkzeug, when the connection breaks
            raise Incomplete from None
        if not chunk:
            break
        silent += len(chunk)
        try:
            for event in parser.parse(chunk):
                silent = 0
                yield event
        except ParserLimitReached:
            raise MalformedForm("The form has more parts or headers than a document has.") from None
        except MultipartError:
            raise MalformedForm from None
        if silent > _PADDING:
            raise MalformedForm
    try:
        parser.close()
    except MultipartError:
        raise Incomplete from None
