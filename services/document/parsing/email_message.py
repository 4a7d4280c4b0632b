"""Emails (RFC 5322 and MIME, RFC 2045–2049), walked line by line: memory doesn't grow with what is attached.

The standard library's parser holds an email in memory several times over and never says that one is cut, so it reads
the headers alone. What an email has attached is every part but its own words: pictures among the words, attached
emails (not opened) and `winmail.dat` too.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

from services.document.parsing import mime_headers, transfer_encodings
from services.document.parsing.attachments import MOST_ATTACHMENTS, Attachment
from services.document.parsing.errors import Reason, Unreadable
from services.document.parsing.foreign import reading
from services.document.parsing.media_types import EMAIL
from services.document.parsing.mime_headers import Part
from services.document.parsing.seekable import Seekable
from services.document.parsing.source import CHUNK

_MOST_PARTS = MOST_ATTACHMENTS
_DEEPEST = 30  # parts inside one another
_MOST_HEADERS = 1024 * 1024  # bytes of the headers of an email, or of one of its parts
_LINE = 64 * 1024  # bytes of a line that are read at once
_MARK = b"\xef\xbb\xbf"


def begins_as_email(source: Seekable) -> bool:
    """Whether the file begins with the headers of an email. Raises Unreadable where it ends within them."""
    source.seek(0)
    with_mark = source.read(_MOST_HEADERS) or b""
    head = with_mark.removeprefix(_MARK).lstrip(b"\r\n")
    end = min((place for place in map(head.find, (b"\n\r\n", b"\n\n")) if place >= 0), default=None)
    # Of headers without an end the last line may be cut.
    block = head[: max(0, head.rfind(b"\n"))] if end is None else head[:end]
    if not mime_headers.are_fields(block) or not mime_headers.is_of_an_email(mime_headers.fields_of(block)):
        return False
    if end is None:
        raise Unreadable(Reason.BROKEN)
    return True


def attachments(source: Seekable) -> tuple[Attachment, ...]:
    """What the email has attached, in its order, once every part was found whole. Raises Unreadable."""
    return tuple(
        Attachment(
            number=number,
            name=leaf.part.name,
            media_type=leaf.part.media_type,
            size=sum(map(len, _decoded(source, leaf))),
        )
        for number, leaf in enumerate(_attached(source), 1)
    )


def attachment(source: Seekable, number: int, out: BinaryIO) -> None:
    """Write the bytes of an attachment, decoded. Raises Unreadable, and LookupError where there is none."""
    with reading():
        found = dict(enumerate(_attached(source), 1)).get(number)
        if found is not None:
            for piece in _decoded(source, found):
                out.write(piece)
    if found is None:
        raise LookupError(number)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leaf:
    """A part that has no parts: where its body lies, `length` bytes from `start`."""

    part: Part
    start: int
    length: int


def _attached(source: Seekable) -> list[_Leaf]:
    return [leaf for leaf in _Walk(source).leaves() if not leaf.part.is_text_of_the_email]


def _decoded(source: Seekable, leaf: _Leaf) -> Iterator[bytes]:
    return transfer_encodings.decoded(_pieces(source, leaf), leaf.part.encoding)


def _pieces(source: Seekable, leaf: _Leaf) -> Iterator[bytes]:
    place, left = leaf.start, leaf.length
    while left:
        source.seek(place)
        piece = source.read(min(CHUNK, left))
        if not piece:
            raise Unreadable(Reason.BROKEN)
        yield piece
        place += len(piece)
        left -= len(piece)


class _Walk:
    """One way through an email, from its first line to its last."""

    def __init__(self, source: Seekable) -> None:
        source.seek(0)
        self._lines = io.BufferedReader(cast(io.RawIOBase, source), CHUNK)
        self._place = 0  # behind the line that was read last
        self._boundaries: list[bytes] = []  # of the parts that are open, the outermost first
        self._met: tuple[int, bool] | None = None  # the boundary that was met: its place in the list, whether it closes
        self._before = 0  # bytes: the line break before it, which belongs to it (RFC 2046, 5.1.1)
        self._start = 0  # of the line of that boundary
        self._ended = False
        self._leaves: list[_Leaf] = []
        self._parts = 0

    def leaves(self) -> list[_Leaf]:
        """Every part that has no parts. Raises Unreadable where one isn't whole."""
        self._skip_blank_lines()
        self._entity("text/plain")
        self._lines.detach()
        return self._leaves

    def _entity(self, default: str) -> None:
        """One email or part of one, up to the boundary behind it or to the file's end."""
        self._parts += 1
        if self._parts > _MOST_PARTS or len(self._boundaries) > _DEEPEST:
            raise Unreadable(Reason.TOO_MUCH)
        part = mime_headers.part_of(mime_headers.fields_of(self._headers()), default=default)
        if part.is_locked:
            raise Unreadable(Reason.LOCKED)
        start = self._place
        if part.is_multipart and self._met is None and not self._ended:
            self._multipart(part)
            return
        if self._met is None:
            self._to_boundary()
        end = self._place if self._met is None else self._start - self._before
        self._leaves.append(_Leaf(part=part, start=start, length=max(0, end - start)))

    def _multipart(self, part: Part) -> None:
        """Every part between its boundaries, and what follows the last one.

        A part whose closing boundary is missing lost nothing if a boundary outside of it follows. At the end of the
        file it did.
        """
        if part.boundary is None:
            raise Unreadable(Reason.BROKEN)
        default = EMAIL if part.media_type == "multipart/digest" else "text/plain"
        level = len(self._boundaries)
        self._boundaries.append(b"--" + part.boundary.rstrip())
        self._to_boundary()
        while self._met == (level, False):
            self._met = None
            self._entity(default)
        del self._boundaries[level:]
        if self._met is None:
            raise Unreadable(Reason.BROKEN)
        if self._met[0] == level:
            self._met = None
            self._to_boundary()

    def _headers(self) -> bytes:
        """The lines up to the blank one, or to a boundary where that comes first."""
        block = bytearray()
        while line := self._line():
            if self._is_boundary(line) or line in (b"\n", b"\r\n"):
                break
            block += line
            if len(block) > _MOST_HEADERS:
                raise Unreadable(Reason.TOO_MUCH)
        return bytes(block)

    def _to_boundary(self) -> None:
        """Read on until a boundary is met, or the file ends."""
        previous, self._before = b"\n", 0
        while line := self._line():
            # A long line is read in pieces; a boundary stands at a line's beginning.
            if previous.endswith(b"\n") and self._is_boundary(line):
                return
            self._before = 2 if line.endswith(b"\r\n") else 1 if line.endswith(b"\n") else 0
            previous = line

    def _is_boundary(self, line: bytes) -> bool:
        if not self._boundaries or not line.startswith(b"--"):
            return False
        told = line.rstrip()
        for level in range(len(self._boundaries) - 1, -1, -1):
            boundary = self._boundaries[level]
            if told in (boundary, boundary + b"--"):
                self._met = (level, told != boundary)
                self._start = self._place - len(line)
                return True
        return False

    def _line(self) -> bytes:
        line = self._lines.readline(_LINE)
        self._place += len(line)
        self._ended = self._ended or not line
        return line

    def _skip_blank_lines(self) -> None:
        head = self._lines.peek(CHUNK)
        skipped = len(head) - len(head.removeprefix(_MARK).lstrip(b"\r\n"))
        self._lines.read(skipped)
        self._place = skipped
