"""A TIFF's pages: every strip and tile is there and brings the rows that it should."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from services.document.parsing import fax, jpeg, minitiff, tiff
from services.document.parsing.budget import Budget
from services.document.parsing.errors import Feature, Reason, Unreadable, UnsupportedPicture
from services.document.parsing.seekable import Seekable, read_at
from services.document.parsing.tiff import Directory

_MOST_PIECE = 320_000_000  # unpacked bytes of one strip or tile
_MOST_HELD = 170_000_000  # the same where they are held in memory
_NONE, _RLE, _FAX3, _FAX4, _LZW, _OLD_JPEG, _JPEG, _DEFLATE = 1, 2, 3, 4, 5, 6, 7, 8
_OTHER_DEFLATE, _PACKBITS, _RLE_ALIGNED = 32946, 32773, 32771
_FAX = (_RLE, _FAX3, _FAX4, _RLE_ALIGNED)
_YCBCR, _RAW_COLOURS = 6, (32803, 34892)
_TWO_DIMENSIONS, _UNCOMPRESSED = 1, 2  # bits of the options of fax
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_UNPACK_PIECE = 1024 * 1024


def count_pages(source: Seekable, budget: Budget) -> int:
    """How many pages the TIFF has, once every row of each was found. Raises Unreadable, UnsupportedPicture.

    A thumbnail or a mask is no page, and its data isn't looked at: no part of a page depends on it.
    """
    chain = tiff.directories(source)
    pages = [chain[number] for number in tiff.pages_of(chain)]
    if any(tiff.DNG_VERSION in directory.numbers for directory in chain):
        raise UnsupportedPicture(Feature.TIFF_RAW)
    if not any(page.is_page for page in pages) and any(tiff.INNER in directory.numbers for directory in chain):
        raise UnsupportedPicture(Feature.TIFF_LAYOUT)  # the picture is in there
    if not pages:
        raise Unreadable(Reason.BROKEN if chain else Reason.NO_PAGES)
    places = sorted({place for page in chain for place in _places(page)} | {page.place for page in chain})
    for page in pages:
        _check(source, page, places, budget)
    return len(pages)


def _places(page: Directory) -> tuple[int, ...]:
    return page.numbers.get(tiff.TILES) or page.numbers.get(tiff.STRIPS, ())


@dataclass(frozen=True, slots=True)
class _Shape:
    """What all pieces of a page have in common. `rows` of one piece; `row_bits` of one row of it."""

    width: int
    rows: int
    samples: int
    bits: int


def _check(source: Seekable, page: Directory, places: list[int], budget: Budget) -> None:
    width, height = page.number(tiff.WIDTH, 0), page.number(tiff.HEIGHT, 0)
    if width <= 0 or height <= 0:
        raise Unreadable(Reason.BROKEN)
    budget.spend(width, height, held=False)
    _require_readable(page)
    samples = page.number(tiff.SAMPLES, 1)
    bits = page.numbers.get(tiff.BITS, (1,))
    planes = samples if page.number(tiff.PLANES, 1) == 2 else 1
    each = sum(bits[:samples]) if len(bits) >= samples else bits[0] * samples
    if samples < 1 or each < 1:
        raise Unreadable(Reason.BROKEN)
    shape = _Shape(width, height, 1 if planes > 1 else samples, bits[0] if planes > 1 else each)
    found = list(_pieces(source, page, places))
    wanted = list(_wanted(page, shape, planes))
    if len(found) < len(wanted):
        raise Unreadable(Reason.BROKEN)
    for (place, length), piece in zip(found, wanted, strict=False):
        _check_piece(source, page, place, length, piece)


def _require_readable(page: Directory) -> None:
    compression = page.number(tiff.COMPRESSION, 1)
    if compression == _OLD_JPEG:
        raise UnsupportedPicture(Feature.TIFF_OLD_JPEG)
    known = (*_FAX, _NONE, _LZW, _JPEG, _DEFLATE, _OTHER_DEFLATE, _PACKBITS)
    options = page.number(tiff.FAX3_OPTIONS, 0) | page.number(tiff.FAX4_OPTIONS, 0)
    if compression not in known or (compression in _FAX and options & _UNCOMPRESSED):
        raise UnsupportedPicture(Feature.TIFF_COMPRESSION)
    if page.number(tiff.COLOURS, 1) in _RAW_COLOURS:
        raise UnsupportedPicture(Feature.TIFF_RAW)


def _pieces(source: Seekable, page: Directory, places: list[int]) -> Iterator[tuple[int, int]]:
    """Place and length in bytes of each strip or tile; old files may leave lengths out, and some say too much."""
    tiled = tiff.TILES in page.numbers
    lengths = page.numbers.get(tiff.TILE_LENGTHS if tiled else tiff.STRIP_LENGTHS, ())
    following = dict(zip(places, [*places[1:], source.size], strict=True))
    for number, place in enumerate(_places(page)):
        length = lengths[number] if number < len(lengths) else 0
        if not length and (number >= len(lengths) or len(lengths) == 1):
            length = following[place] - place  # up to whatever comes next
        elif len(_places(page)) == 1 and page.number(tiff.COMPRESSION, 1) == _NONE:
            length = source.size  # without compression there is no need to be told
        yield place, max(0, min(length, source.size - place))


def _wanted(page: Directory, shape: _Shape, planes: int) -> Iterator[_Shape]:
    """The shape of each piece, in order."""
    if tiff.TILES in page.numbers:
        width, rows = page.number(tiff.TILE_WIDTH, 0), page.number(tiff.TILE_HEIGHT, 0)
        if width <= 0 or rows <= 0:
            raise Unreadable(Reason.BROKEN)
        count = -(-shape.width // width) * -(-shape.rows // rows) * planes
        if count > len(_places(page)):
            raise Unreadable(Reason.BROKEN)
        yield from [_Shape(width, rows, shape.samples, shape.bits)] * count
        return
    rows = page.number(tiff.ROWS_PER_STRIP, 0)
    rows = shape.rows if not 0 < rows <= shape.rows else rows
    if -(-shape.rows // rows) * planes > len(_places(page)):
        raise Unreadable(Reason.BROKEN)
    for _ in range(planes):
        for first in range(0, shape.rows, rows):
            yield _Shape(shape.width, min(rows, shape.rows - first), shape.samples, shape.bits)


def _check_piece(source: Seekable, page: Directory, place: int, length: int, piece: _Shape) -> None:
    """The piece brings all its rows. Raises Unreadable, UnsupportedPicture."""
    compression = page.number(tiff.COMPRESSION, 1)
    size = _unpacked_size(page, piece)
    if compression == _NONE:
        if length < size:
            raise Unreadable(Reason.BROKEN)
        return
    if size > _MOST_PIECE:
        raise Unreadable(Reason.TOO_MUCH)
    data = read_at(source, place, length)
    if compression in _FAX:
        whole = _has_fax_rows(page, data, piece)
    elif compression == _JPEG:
        whole = _has_jpeg_rows(page, data, piece)
    elif compression in (_DEFLATE, _OTHER_DEFLATE):
        whole = _inflates_to(data, size)
    elif compression == _LZW and data[:1] == b"\0" and data[1:2] and data[1] & 1:
        raise UnsupportedPicture(Feature.TIFF_COMPRESSION)  # LZW of before TIFF 5, its bits the other way round
    elif size > _MOST_HELD:
        raise Unreadable(Reason.TOO_MUCH)
    else:
        # A row here is as many bytes as a row there, and what they mean doesn't matter.
        kind = minitiff.LZW if compression == _LZW else minitiff.PACKBITS
        width, rows = (size // piece.rows, piece.rows) if size % piece.rows == 0 else (size, 1)
        whole = minitiff.decoded(data, width, rows, kind) is not None
    if not whole:
        raise Unreadable(Reason.BROKEN)


def _unpacked_size(page: Directory, piece: _Shape) -> int:
    """Bytes of the piece without compression."""
    if page.number(tiff.COLOURS, 1) == _YCBCR and piece.samples == 3 and page.number(tiff.COMPRESSION, 1) != _JPEG:
        across, down = (*page.numbers.get(tiff.SUBSAMPLING, (2, 2)), 2)[:2]
        if across not in (1, 2, 4) or down not in (1, 2, 4):
            raise Unreadable(Reason.BROKEN)
        if across * down > 1:
            blocks = -(-piece.width // across) * -(-piece.rows // down)
            return blocks * (across * down + 2) * page.number(tiff.BITS, 8) // 8
    return piece.rows * ((piece.width * piece.bits + 7) // 8)


def _has_fax_rows(page: Directory, data: bytes, piece: _Shape) -> bool:
    if piece.bits != 1:
        raise UnsupportedPicture(Feature.TIFF_LAYOUT)
    if page.number(tiff.FILL_ORDER, 1) == 2:
        data = data.translate(_REVERSED)
    compression = page.number(tiff.COMPRESSION, 1)
    if compression == _FAX4:
        coding = fax.Coding(k=-1)
    elif compression == _FAX3:
        coding = fax.Coding(k=page.number(tiff.FAX3_OPTIONS, 0) & _TWO_DIMENSIONS)
    else:
        coding = fax.Coding(k=0, byte_align=True)
    return fax.has_rows(data, piece.width, piece.rows, coding)


def _has_jpeg_rows(page: Directory, data: bytes, piece: _Shape) -> bool:
    width, height, _ = jpeg.check(data, Budget(), rows=piece.rows, tables=page.tables)
    return width >= piece.width and height >= piece.rows


def _inflates_to(data: bytes, size: int) -> bool:
    """Whether at least `size` bytes come out; without holding them."""
    unpacking = zlib.decompressobj()
    out = 0
    try:
        while out < size:
            pixels = unpacking.decompress(data, _UNPACK_PIECE)
            data = unpacking.unconsumed_tail
            out += len(pixels)
            if not pixels:
                return out >= size
    except zlib.error:
        return False
    return True
