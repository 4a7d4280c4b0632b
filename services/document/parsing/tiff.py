"""The skeleton of a TIFF (TIFF 6.0, section 2; BigTIFF), walked without a library.

libtiff and Pillow make do with a directory that was cut off; this finds out before they are asked.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from services.document.parsing.errors import Reason, Unreadable
from services.document.parsing.source import Source

MOST_PAGES = 5_000
_MOST_PIECES = 1_000_000  # strips and tiles of all pages together
_MOST_ENTRIES = 512  # fields of one page
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_LETTERS = {1: "B", 3: "H", 4: "I", 16: "Q"}  # the types a place or a length may have
_PIECES = ((273, 279), (324, 325))  # offsets and byte counts, of strips and of tiles


@dataclass(frozen=True, slots=True)
class _Entry:
    """One field of a directory: its type, how many values, and where they lie."""

    kind: int
    count: int
    place: int


def count_directories(spool: Source) -> int:
    """How many pages the TIFF's chain of directories has, each whole and inside the file. Raises Unreadable."""
    return _Walk(spool).count()


class _Walk:
    def __init__(self, spool: Source) -> None:
        self._spool = spool
        head = self._bytes(0, 4)
        self._order = "<" if head[:2] == b"II" else ">"
        self._big = 43 in head[2:]
        self._pieces = 0

    def count(self) -> int:
        place = self._number(8, "Q") if self._big else self._number(4, "I")
        met: set[int] = set()
        while place:
            if place in met:
                raise Unreadable(Reason.BROKEN)
            met.add(place)
            if len(met) > MOST_PAGES:
                raise Unreadable(Reason.TOO_MUCH)
            place = self._directory(place)
        if not met:
            raise Unreadable(Reason.NO_PAGES)
        return len(met)

    def _directory(self, place: int) -> int:
        """Check the directory at `place`; the place of the next one, or 0."""
        count, first = (self._number(place, "Q"), place + 8) if self._big else (self._number(place, "H"), place + 2)
        if not 0 < count <= _MOST_ENTRIES:
            raise Unreadable(Reason.BROKEN)
        length, inline, letter = (20, 8, "Q") if self._big else (12, 4, "I")
        entries: dict[int, _Entry] = {}
        for start in range(first, first + count * length, length):
            tag, kind = self._numbers(start, 2, "H")
            values = self._number(start + 4, letter)
            size = values * _SIZES.get(kind, 0)
            value = start + length - inline
            entries[tag] = _Entry(kind, values, value if size <= inline else self._number(value, letter))
            self._within(entries[tag].place, size)
        for offsets, lengths in _PIECES:
            if offsets in entries:
                self._check_pieces(entries[offsets], entries.get(lengths))
        return self._number(first + count * length, letter)

    def _check_pieces(self, offsets: _Entry, lengths: _Entry | None) -> None:
        """Every strip or tile lies inside the file. Old files may leave their lengths out."""
        if lengths is not None and lengths.count != offsets.count:
            raise Unreadable(Reason.BROKEN)
        sizes = self._values(lengths) if lengths is not None else iter([0] * offsets.count)
        for place, size in zip(self._values(offsets), sizes, strict=True):
            self._within(place, size)

    def _values(self, entry: _Entry) -> Iterator[int]:
        self._pieces += entry.count
        if self._pieces > 2 * _MOST_PIECES:
            raise Unreadable(Reason.TOO_MUCH)
        if entry.kind not in _LETTERS:
            raise Unreadable(Reason.BROKEN)
        return iter(self._numbers(entry.place, entry.count, _LETTERS[entry.kind]))

    def _number(self, place: int, letter: str) -> int:
        return self._numbers(place, 1, letter)[0]

    def _numbers(self, place: int, count: int, letter: str) -> tuple[int, ...]:
        layout = f"{self._order}{count}{letter}"
        return struct.unpack(layout, self._bytes(place, struct.calcsize(layout)))

    def _bytes(self, place: int, size: int) -> bytes:
        self._within(place, size)
        self._spool.seek(place)
        return self._spool.read(size)

    def _within(self, place: int, size: int) -> None:
        if place + size > self._spool.size:
            raise Unreadable(Reason.BROKEN)
