"""Where in a file its PDF lies: programs put something before the first line of one, and after its end mark."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from services.document.parsing.errors import Reason, Unreadable
from services.document.parsing.seekable import Seekable, read_at

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

HEAD = 1024  # bytes from the start in which the first line may stand (as Acrobat does it)
_FIRST_LINE = re.compile(rb"%PDF-\d")
_LONGEST_FIRST_LINE = b"%PDF-1.7"
_END = b"%%EOF"
_MARK = re.compile(_END)
_BLANKS = b"\0\t\n\f\r \x1a"  # PDF's own, and the end mark of old systems
_OVERLAP = 128
_PIECE = 1024 * 1024
_SHORT_PIECE = 4096
_ARCHIVES = (b"PK\x03\x04", b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c")
#: What a later revision is made of. Behind the last end mark it says that a revision was cut off.
_REVISION = re.compile(rb"\d\s+\d+\s+obj\b|\bstartxref\b|\btrailer\s*<<")
_REVISION_BEGUN = re.compile(rb"\s*\d+(?:\s+\d*(?:\s+o?b?)?)?\s*")  # cut within its first line


def first_line_at(head: bytes) -> int | None:
    """Where a PDF begins in a file's first bytes."""
    found = _FIRST_LINE.search(head[:HEAD])
    return None if found is None else found.start()


class View(io.RawIOBase):
    """The bytes of a file from `start` to `end`.

    from_file: places are counted from the file's own beginning, and a first line is put there.
    """

    def __init__(self, source: Seekable, start: int, end: int, *, from_file: bool = False) -> None:
        super().__init__()
        self._source = source
        self._start = 0 if from_file else start
        self._first = _LONGEST_FIRST_LINE if from_file and start else b""
        self._place = 0
        self.size = end - self._start

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        place = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self.size}[whence] + offset
        if place < 0:
            raise ValueError("a place before the start")
        self._place = place
        return place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        target = memoryview(buffer).cast("B")
        wanted = max(0, min(len(target), self.size - self._place))
        data = read_at(self._source, self._start + self._place, wanted)
        if self._place < len(self._first):
            data = self._first[self._place : self._place + len(data)] + data[len(self._first) - self._place :]
        target[: len(data)] = data
        self._place += len(data)
        return len(data)


def end_of(source: Seekable, start: int) -> int:
    """The place behind the last end mark and its line's end. Raises Unreadable where there is none, or a cut revision.

    What follows it (zeros that a copier pads with, a mail program's words, an archive) is kept, and no part of a page.
    """
    end = _mark_before_another(source, start) or _last_mark(source, start)
    rest = read_at(source, end, 2)
    end += len(rest) - len(rest.lstrip(b"\r\n"))
    if source.size > end and _REVISION_BEGUN.fullmatch(read_at(source, end, _PIECE)):
        raise Unreadable(Reason.BROKEN)
    for place in range(end, source.size, _PIECE):
        data = read_at(source, place, _PIECE + _OVERLAP)
        if place == end and _following(source, end).startswith(_ARCHIVES):
            break  # whatever is in it
        if _REVISION.search(data):
            raise Unreadable(Reason.BROKEN)
    return end


def _mark_before_another(source: Seekable, start: int) -> int | None:
    """The place behind the mark after which an archive begins, which may have PDFs in it.

    Raises Unreadable where a second PDF begins, of two of which a viewer would show one.
    """
    for place in range(start, source.size, _PIECE):
        data = read_at(source, place, _PIECE + len(_END) - 1)
        for found in _MARK.finditer(data):
            following = _following(source, place + found.end())
            if _FIRST_LINE.match(following):
                raise Unreadable(Reason.BROKEN)
            if following.startswith(_ARCHIVES):
                return place + found.end()
    return None


def _following(source: Seekable, place: int) -> bytes:
    """What comes next that isn't blank: its first bytes."""
    while data := read_at(source, place, _SHORT_PIECE):
        if kept := data.lstrip(_BLANKS):
            return kept[:16] if len(kept) >= 16 else read_at(source, place + len(data) - len(kept), 16)
        place += len(data)
    return b""


def _last_mark(source: Seekable, start: int) -> int:
    place = source.size
    while place > start:
        place = max(start, place - _PIECE)
        found = read_at(source, place, _PIECE + len(_END) - 1).rfind(_END)
        if found >= 0:
            return place + found + len(_END)
    raise Unreadable(Reason.BROKEN)
