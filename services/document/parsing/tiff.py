"""The skeleton of a TIFF (TIFF 6.0, section 2; BigTIFF), walked without a library: its pages and where their data lies.

libtiff and Pillow make do with a directory that was cut off; this finds out before they are asked.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from services.document.parsing.errors import Reason, Unreadable
from services.document.parsing.seekable import Seekable, read_at

MOST_PAGES = 5_000
_MOST_VALUES = 2_000_000  # places and lengths of strips and tiles, of all pages together
_MOST_ENTRIES = 4_096  # fields of one page
_LETTERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_UNDEFINED = 7

# The fields that say where a picture's data lies and how to read it. Others, private ones among them, may point where
# they like: no page needs them.
SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, COLOURS, FILL_ORDER = 254, 255, 256, 257, 258, 259, 262, 266
STRIPS, SAMPLES, ROWS_PER_STRIP, STRIP_LENGTHS, PLANES, FAX3_OPTIONS, FAX4_OPTIONS = 273, 277, 278, 279, 284, 292, 293
TILE_WIDTH, TILE_HEIGHT, TILES, TILE_LENGTHS, INNER, JPEG_TABLES, SUBSAMPLING = 322, 323, 324, 325, 330, 347, 530
DNG_VERSION = 50706
_NEEDED = {SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, COLOURS, FILL_ORDER, STRIPS, SAMPLES, ROWS_PER_STRIP}
_NEEDED |= {STRIP_LENGTHS, PLANES, FAX3_OPTIONS, FAX4_OPTIONS, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_LENGTHS}
_NEEDED |= {INNER, JPEG_TABLES, SUBSAMPLING, DNG_VERSION}
_REDUCED, _MASK = 1, 4  # bits of SUBFILE: a thumbnail of another picture; which of its pixels are to be shown
_OLD_REDUCED = 2


@dataclass(frozen=True, slots=True)
class Directory:
    """One picture's fields, by tag: numbers, or bytes for tables. `place` is where it lies."""

    place: int
    numbers: dict[int, tuple[int, ...]]
    tables: bytes

    def number(self, tag: int, otherwise: int) -> int:
        values = self.numbers.get(tag)
        return values[0] if values else otherwise

    @property
    def is_page(self) -> bool:
        """Whether it is a picture of its own, and neither a thumbnail nor a mask of another."""
        kind = self.number(SUBFILE, 0)
        return not kind & (_REDUCED | _MASK) and self.number(OLD_SUBFILE, 0) != _OLD_REDUCED and self.has_data

    @property
    def has_data(self) -> bool:
        return STRIPS in self.numbers or TILES in self.numbers


def directories(source: Seekable) -> list[Directory]:
    """The TIFF's chain of directories, each whole and inside the file. Raises Unreadable."""
    return _Walk(source).all()


def pages_of(chain: Sequence[Directory]) -> list[int]:
    """Which of the directories are pages. Where none says so, the first picture is one: it is all that there is."""
    pages = [number for number, directory in enumerate(chain) if directory.is_page]
    return pages or [number for number, directory in enumerate(chain) if directory.has_data][:1]


class _Walk:
    def __init__(self, source: Seekable) -> None:
        self._source = source
        head = self._bytes(0, 4)
        self._order = "<" if head[:2] == b"II" else ">"
        self._big = 43 in head[2:]
        self._values = 0

    def all(self) -> list[Directory]:
        place = self._number(8, "Q") if self._big else self._number(4, "I")
        found: list[Directory] = []
        met: set[int] = set()
        while place:
            if place in met:
                raise Unreadable(Reason.BROKEN)
            met.add(place)
            if len(met) > MOST_PAGES:
                raise Unreadable(Reason.TOO_MUCH)
            directory, place = self._directory(place)
            found.append(directory)
        return found

    def _directory(self, place: int) -> tuple[Directory, int]:
        """The directory at `place`, and the place of the next one, or 0."""
        count, first = (self._number(place, "Q"), place + 8) if self._big else (self._number(place, "H"), place + 2)
        if not 0 < count <= _MOST_ENTRIES:
            raise Unreadable(Reason.BROKEN)
        length, letter = (20, "Q") if self._big else (12, "I")
        numbers: dict[int, tuple[int, ...]] = {}
        tables = b""
        for start in range(first, first + count * length, length):
            tag, kind = self._numbers(start, 2, "H")
            if tag not in _NEEDED or tag in numbers:
                self._bytes(start, length)
                continue
            values = self._number(start + 4, letter)
            value = self._place_of(start, values * _SIZES.get(kind, 0), letter)
            if tag == JPEG_TABLES and kind in (1, _UNDEFINED):
                tables = self._bytes(value, values)
            elif kind in _LETTERS and values:
                self._values += values
                if self._values > _MOST_VALUES:
                    raise Unreadable(Reason.TOO_MUCH)
                numbers[tag] = self._numbers(value, values, _LETTERS[kind])
        following = first + count * length
        # Some writers leave out the place of the next one at the very end of the file.
        next_place = 0 if following == self._source.size else self._number(following, letter)
        return Directory(place, numbers, tables), next_place

    def _place_of(self, start: int, size: int, letter: str) -> int:
        """Where the values of the field at `start` lie: in it, if they fit, or where it says."""
        inline = struct.calcsize(letter)
        value = start + 4 + inline
        return value if size <= inline else self._number(value, letter)

    def _number(self, place: int, letter: str) -> int:
        return self._numbers(place, 1, letter)[0]

    def _numbers(self, place: int, count: int, letter: str) -> tuple[int, ...]:
        layout = f"{self._order}{count}{letter}"
        return struct.unpack(layout, self._bytes(place, struct.calcsize(layout)))

    def _bytes(self, place: int, size: int) -> bytes:
        if place < 0 or place + size > self._source.size:
            raise Unreadable(Reason.BROKEN)
        return read_at(self._source, place, size)
