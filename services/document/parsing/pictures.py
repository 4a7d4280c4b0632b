"""Pictures, decoded to the last line: a picture that opens is not yet a picture that is whole."""

from __future__ import annotations

import io
import re
import warnings
import zlib
from typing import cast

from PIL import Image

from services.document.parsing import tiff
from services.document.parsing.errors import Reason, Unreadable
from services.document.parsing.foreign import reading
from services.document.parsing.source import CHUNK, Source

MOST_PIXELS = 80_000_000  # of one page: A3 at 600 dots per inch has 70 million
MOST_SCANS = 200  # of one JPEG: each is decoded over the whole picture, and no encoder makes more than some dozens
MOST_PIXELS_IN_ALL = 2_000_000_000  # of all pages of a TIFF: 229 of A4 at 300 dots per inch

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # in scan data; FF 00 is a data byte, D0–D7 restart it

# Pixels are counted below before they are decoded, and what else Pillow warns of is about metadata.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=r"PIL\.")


def check_jpeg(spool: Source) -> int:
    """1, once the whole picture was decoded to its end mark. Raises Unreadable.

    What phones add behind the end mark (a second view, a film) is kept with the file, and not looked at.
    """
    with reading():
        _check_jpeg_end(spool)
        with _opened(spool, "JPEG") as picture:
            _check_size(picture)
            # The decoder still reads every bit of it, but draws it at an eighth, in a sixty-fourth of the memory.
            picture.draft(None, (max(1, picture.width // 8), max(1, picture.height // 8)))
            picture.load()
    return 1


def check_png(spool: Source) -> int:
    """1, once the whole picture was decoded and every chunk's checksum held. Raises Unreadable."""
    with reading():
        _check_png_chunks(spool)
        with _opened(spool, "PNG") as picture:
            _check_size(picture)
            picture.load()
    return 1


def count_tiff_pages(spool: Source) -> int:
    """How many pages the TIFF has, once each was decoded. Raises Unreadable.

    libtiff wants the file in one piece: of all kinds this is the one that is held in memory whole, once.
    """
    with reading():
        pages = tiff.count_directories(spool)
        spool.seek(0)
        pixels = 0
        with _opened(io.BytesIO(spool.readall()), "TIFF") as picture:
            for page in range(pages):
                picture.seek(page)
                _check_size(picture)
                pixels += picture.width * picture.height
                if pixels > MOST_PIXELS_IN_ALL:
                    raise Unreadable(Reason.TOO_MUCH)
                picture.load()
    return pages


def _opened(file: Source | io.BytesIO, kind: str) -> Image.Image:
    file.seek(0)
    try:
        return Image.open(cast(io.BytesIO, file), formats=(kind,))
    except Image.DecompressionBombError:
        raise Unreadable(Reason.TOO_MUCH) from None


def _check_size(picture: Image.Image) -> None:
    if picture.width * picture.height > MOST_PIXELS:
        raise Unreadable(Reason.TOO_MUCH)


def _check_jpeg_end(spool: Source) -> None:
    """Walk the markers (ITU-T T.81, B.1.1) to the end of the image. A thumbnail's own end mark doesn't count."""
    place, scans = 2, 0  # behind the start mark
    while True:
        spool.seek(place)
        mark = spool.read(4)
        if len(mark) >= 2 and mark[0] == 0xFF and mark[1] == 0xD9:
            return
        if len(mark) < 4 or mark[0] != 0xFF:
            raise Unreadable(Reason.BROKEN)
        if mark[1] == 0xFF:  # a fill byte
            place += 1
            continue
        place += 2 + int.from_bytes(mark[2:], "big")
        if mark[1] == 0xDA:  # a scan: its data has no length, and goes up to the next marker
            place = _next_marker(spool, place)
            scans += 1
            if scans > MOST_SCANS:
                raise Unreadable(Reason.TOO_MUCH)


def _next_marker(spool: Source, place: int) -> int:
    while True:
        spool.seek(place)
        data = spool.read(CHUNK)
        if found := _MARKER.search(data):
            return place + found.start()
        if len(data) < CHUNK:
            raise Unreadable(Reason.BROKEN)
        place += len(data) - 1  # a marker may lie across two chunks


def _check_png_chunks(spool: Source) -> None:
    """Every chunk is there, its checksum right, up to the closing IEND (PNG, 5.3)."""
    place = 8  # behind the signature
    while True:
        spool.seek(place)
        head = spool.read(8)
        if len(head) < 8:
            raise Unreadable(Reason.BROKEN)
        left, kind = int.from_bytes(head[:4], "big"), head[4:]
        if place + 12 + left > spool.size:
            raise Unreadable(Reason.BROKEN)
        place += 12 + left
        checksum = zlib.crc32(kind)
        while left:
            data = spool.read(min(CHUNK, left))
            checksum = zlib.crc32(data, checksum)
            left -= len(data)
        if checksum != int.from_bytes(spool.read(4), "big"):
            raise Unreadable(Reason.BROKEN)
        if kind == b"IEND":
            return
