"""PNGs: every row counted as it is unpacked (PNG, third edition).

Nothing is drawn, so that neither a large colour profile nor a large picture takes memory.
"""

from __future__ import annotations

import zlib

from services.document.parsing.budget import Budget
from services.document.parsing.errors import Feature, Reason, Unreadable, UnsupportedPicture
from services.document.parsing.seekable import Seekable, read_at

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIECE = 256 * 1024  # bytes read, and unpacked, at a time
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
#: Adam7: first column and row of each pass, and the steps between its columns and rows.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_HIGHEST_FILTER = 4
_MOST_CHUNKS = 1_000_000


def check(source: Seekable, budget: Budget) -> int:
    """The place behind the end mark, once every row was unpacked. Raises Unreadable, UnsupportedPicture.

    The checksum of a chunk that draws nothing (its name begins with a small letter) may be wrong: nothing is lost.
    """
    place = len(SIGNATURE)
    rows: _Rows | None = None
    palette = False
    for _ in range(_MOST_CHUNKS):
        head = read_at(source, place, 8)
        if len(head) < 8:
            raise Unreadable(Reason.BROKEN)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if place + 12 + length > source.size:
            raise Unreadable(Reason.BROKEN)
        if kind == b"CgBI":
            raise UnsupportedPicture(Feature.PNG_APPLE)
        if kind == b"IHDR" and rows is None:
            rows = _Rows(_checked(source, place + 8, length, kind), budget)
        elif kind == b"IDAT" and rows is not None:
            _unpack(source, place + 8, length, rows)
        elif kind == b"IEND":
            if rows is None or not rows.all_there or (rows.wants_palette and not palette):
                raise Unreadable(Reason.BROKEN)
            return place + 12 + length
        elif kind == b"PLTE":
            palette = len(_checked(source, place + 8, length, kind)) >= 3
        elif kind[0] < ord("a"):  # one that draws, and that no version of PNG has
            raise Unreadable(Reason.BROKEN)
        place += 12 + length
    raise Unreadable(Reason.TOO_MUCH)


class _Rows:
    """Takes the packed pixels piece by piece and counts the rows that come out."""

    def __init__(self, header: bytes, budget: Budget) -> None:
        if len(header) != 13:
            raise Unreadable(Reason.BROKEN)
        width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
        depth, colours, packing, filtering, interlaced = header[8:]
        if not width or not height or depth not in _DEPTHS.get(colours, ()) or packing or filtering or interlaced > 1:
            raise Unreadable(Reason.BROKEN)
        budget.spend(width, height)
        self.wants_palette = colours == 3
        bits = depth * _SAMPLES[colours]
        self._passes = [
            (1 + (columns * bits + 7) // 8, rows)
            for columns, rows in (_sizes(width, height) if interlaced else [(width, height)])
            if columns and rows
        ]
        # Without the wrapping whose checksum comes last: each chunk has a checksum already.
        self._unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
        self._wrapping = 2  # bytes before the data that are still to come
        self._skip = 0  # bytes of the present row that are still to come

    @property
    def all_there(self) -> bool:
        return not self._passes and not self._skip

    def take(self, packed: bytes) -> None:
        """Unpack a piece. Raises Unreadable where it can't be unpacked before the last row is out."""
        skipped = min(self._wrapping, len(packed))
        self._wrapping -= skipped
        packed = packed[skipped:]
        while packed and not self.all_there and not self._unpacking.eof:
            self._count(self._unpacked(packed))
            packed = self._unpacking.unconsumed_tail

    def finish(self) -> None:
        """Unpack what the unpacker still holds back."""
        while not self.all_there and (pixels := self._unpacked(b"")):
            self._count(pixels)

    def _unpacked(self, packed: bytes) -> bytes:
        try:
            return self._unpacking.decompress(packed, _PIECE)
        except zlib.error:
            raise Unreadable(Reason.BROKEN) from None

    def _count(self, pixels: bytes) -> None:
        place = self._skip
        while self._passes and place < len(pixels):
            if pixels[place] > _HIGHEST_FILTER:
                raise Unreadable(Reason.BROKEN)
            length, rows = self._passes[0]
            place += length
            self._passes[0] = (length, rows - 1)
            if rows == 1:
                del self._passes[0]
        self._skip = max(0, place - len(pixels))


def _sizes(width: int, height: int) -> list[tuple[int, int]]:
    """Columns and rows of each pass of an interlaced picture."""
    return [
        ((width - left + across - 1) // across, (height - top + down - 1) // down)
        for left, top, across, down in _PASSES
    ]


def _unpack(source: Seekable, place: int, length: int, rows: _Rows) -> None:
    checksum = zlib.crc32(b"IDAT")
    end = place + length
    while place < end:
        data = read_at(source, place, min(_PIECE, end - place))
        place += len(data)
        checksum = zlib.crc32(data, checksum)
        rows.take(data)
    rows.finish()
    if checksum != int.from_bytes(read_at(source, end, 4), "big"):
        raise Unreadable(Reason.BROKEN)


def _checked(source: Seekable, place: int, length: int, kind: bytes) -> bytes:
    """A small chunk's data, its checksum right."""
    if length > 1024:
        raise Unreadable(Reason.BROKEN)
    data = read_at(source, place, length)
    if zlib.crc32(data, zlib.crc32(kind)) != int.from_bytes(read_at(source, place + length, 4), "big"):
        raise Unreadable(Reason.BROKEN)
    return data
