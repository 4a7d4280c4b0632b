"""ZIP archives, unpacked to the last byte in memory: every entry whole, none over another, all within limits.

`zipfile` reads the directory and checks each entry's checksum. What it trusts an archive to say is checked here: how
large the directory is, where the entries lie, and how much they unfold to. No entry's name is ever a path.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from services.document.parsing.errors import Reason, Unreadable, UnsupportedType
from services.document.parsing.seekable import Seekable
from services.document.parsing.source import CHUNK

MAGIC = b"PK\x03\x04"
MOST_ENTRIES = 10_000
MOST_UNPACKED = 300 * 1024 * 1024  # bytes of all entries, those of archives inside the archive included
MOST_RATIO = 200  # times the archive's own size, once that is more than _MANY bytes
_MANY = 100 * 1024 * 1024
_MOST_DIRECTORY = 4 * 1024 * 1024  # bytes: 10,000 entries with names of 350 characters
_MOST_INNER = 32 * 1024 * 1024  # bytes of an archive inside the archive: it is opened in memory

_LOCKED = 0x1  # the flag of an entry under a password (APPNOTE 4.4.4)
_END = struct.Struct("<4s4H2LH")  # the end of the central directory (APPNOTE 4.3.16)
_LOCATOR = struct.Struct("<4sLQL")  # where the ZIP64 end of it is (4.3.15)
_END_64 = struct.Struct("<4sQ2H2L4Q")  # that end (4.3.14)
_LOCAL = struct.Struct("<4s5H3L2H")  # what stands before an entry (4.3.7)
_FARTHEST = _END.size + 0xFFFF  # from the file's end: the longest comment


@contextmanager
def opened(source: Seekable | io.BytesIO, size: int) -> Iterator[zipfile.ZipFile]:
    """The archive, its directory read. Raises Unreadable where there is none, or one of too many entries.

    Other errors of `zipfile` come through: read within `foreign.reading`.
    """
    _check_directory(source, size)
    source.seek(0)
    with zipfile.ZipFile(cast(BinaryIO, source)) as archive:
        if len(archive.infolist()) > MOST_ENTRIES:
            raise Unreadable(Reason.TOO_MUCH)
        yield archive


def check(archive: zipfile.ZipFile, source: Seekable, size: int) -> bool:
    """Unpack every entry; whether archives lie inside the archive. Raises Unreadable, UnsupportedType.

    An archive inside is unpacked too. One inside that is not: an archive in an archive in a document is refused.
    """
    return _check(archive, source, size, _Budget(size), outermost=True)


def content(archive: zipfile.ZipFile, name: str, most: int) -> Iterator[bytes]:
    """An entry's bytes, piece by piece. Raises Unreadable where it isn't there or has more than `most` bytes."""
    if name not in archive.NameToInfo:
        raise Unreadable(Reason.BROKEN)
    entry = archive.NameToInfo[name]
    if entry.flag_bits & _LOCKED:
        raise Unreadable(Reason.LOCKED)
    if entry.file_size > most:
        raise Unreadable(Reason.TOO_MUCH)
    with archive.open(entry) as unpacked:
        while piece := unpacked.read(CHUNK):
            yield piece


class _Budget:
    """How many bytes may still be unpacked."""

    def __init__(self, size: int) -> None:
        self._left = min(MOST_UNPACKED, max(_MANY, size * MOST_RATIO))

    def spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise Unreadable(Reason.TOO_MUCH)


def _check_directory(source: Seekable | io.BytesIO, size: int) -> None:
    """What the archive says of its directory, before anything of that size is read."""
    start = max(0, size - _FARTHEST - _LOCATOR.size)
    source.seek(start)
    tail = source.read(size - start) or b""
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or place + _END.size > len(tail):
        raise Unreadable(Reason.BROKEN)
    _, _, _, _, entries, length, _, _ = _END.unpack_from(tail, place)
    if place >= _LOCATOR.size and tail[place - _LOCATOR.size :].startswith(b"PK\x06\x07"):
        _, _, far, _ = _LOCATOR.unpack_from(tail, place - _LOCATOR.size)
        source.seek(min(far, size))
        end = source.read(_END_64.size) or b""
        if len(end) == _END_64.size and end.startswith(b"PK\x06\x06"):
            *_, more_entries, more_length, _ = _END_64.unpack(end)
            entries, length = _real(entries, more_entries, 0xFFFF), _real(length, more_length, 0xFFFFFFFF)
    if entries > MOST_ENTRIES or length > _MOST_DIRECTORY:
        raise Unreadable(Reason.TOO_MUCH)


def _real(short: int, long: int, full: int) -> int:
    """A number of the ZIP64 end counts where the short one is full, and never hides a larger one."""
    return long if short == full else max(short, long)


def _check(
    archive: zipfile.ZipFile, source: Seekable | io.BytesIO, size: int, budget: _Budget, *, outermost: bool
) -> bool:
    entries = archive.infolist()
    budget.spend(sum(entry.file_size for entry in entries))
    if len(archive.NameToInfo) != len(entries):  # two entries of one name: readers differ in which they show
        raise Unreadable(Reason.BROKEN)
    _check_places(archive, source, size)
    has_archives = False
    for entry in entries:
        if entry.flag_bits & _LOCKED:
            raise Unreadable(Reason.LOCKED)
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnsupportedType
        if _unpacked(archive, entry, keep=outermost):
            has_archives = True
            if not outermost:
                raise Unreadable(Reason.TOO_MUCH)
            _check_inner(archive, entry, budget)
    return has_archives


def _check_places(archive: zipfile.ZipFile, source: Seekable | io.BytesIO, size: int) -> None:
    """No entry lies over another or over the directory: bytes that count twice make a bomb of a small file."""
    free = 0
    for entry in sorted(archive.infolist(), key=lambda entry: entry.header_offset):
        source.seek(entry.header_offset)
        head = source.read(_LOCAL.size) or b""
        if entry.header_offset < free or len(head) < _LOCAL.size or not head.startswith(MAGIC):
            raise Unreadable(Reason.BROKEN)
        *_, name, extra = _LOCAL.unpack(head)
        free = entry.header_offset + _LOCAL.size + name + extra + entry.compress_size
    if free > min(archive.start_dir, size):
        raise Unreadable(Reason.BROKEN)


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, *, keep: bool) -> bool:
    """Whether the entry is an archive itself, once it was unpacked and its checksum held. Raises Unreadable."""
    size = 0
    is_archive = False
    with archive.open(entry) as content:
        while piece := content.read(CHUNK):
            if size == 0:
                is_archive = piece.startswith(MAGIC)
            size += len(piece)
    if size != entry.file_size:
        raise Unreadable(Reason.BROKEN)
    return is_archive


def _check_inner(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, budget: _Budget) -> None:
    """An archive inside, such as the spreadsheet behind a chart. Whether it is whole is not asked, only how much it is.

    Raises Unreadable: too much.
    """
    if entry.file_size > _MOST_INNER:
        raise Unreadable(Reason.TOO_MUCH)
    inner = io.BytesIO(archive.read(entry))
    try:
        with opened(inner, entry.file_size) as within:
            _check(within, inner, entry.file_size, budget, outermost=False)
    except (zipfile.BadZipFile, UnsupportedType, NotImplementedError, RuntimeError):
        return
    except Unreadable as error:
        if error.reason is Reason.TOO_MUCH:
            raise
