"""JPEGs: their markers walked here, every bit of their data read by libjpeg-turbo, which tells what it misses.

libjpeg draws grey where data is missing and only warns of it. So its warnings are heard (TurboJPEG makes them errors),
and what it doesn't look for is checked here: whether there is a scan for every part of the picture (ITU-T T.81).
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field

import numpy as np
import simplejpeg
from PIL import Image

from services.document.parsing.budget import Budget
from services.document.parsing.errors import Feature, Reason, Unreadable, UnsupportedPicture

START = b"\xff\xd8\xff"
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # in scan data; FF 00 is a data byte, D0–D7 restart it
_JUNK_BEFORE_MARKER = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")
_NOT_LOST = "Inconsistent progression"  # a coefficient sent twice
#: What TurboJPEG can't do although the data is sound. Pillow is asked then: it knows more, and hears less.
_UNKNOWN_TO_TURBO = ("subsampling", "colorspace", "Unsupported", "Invalid argument")
_MOST_MARKERS = 10_000
MOST_SCANS = 200  # each is decoded over the whole picture, and no encoder makes more than some dozens
_MOST_CUTS = 32  # times that stray bytes are cut out, each followed by another reading
_EOI = b"\xff\xd9"
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_SCAN, _LINES, _END = 0xDA, 0xDC, 0xD9
_COEFFICIENTS = 64


@dataclass(slots=True)
class _Walked:
    """What the markers say. `clean` is the JPEG without stray bytes between its segments, and always with an end."""

    clean: bytearray
    width: int = 0
    height: int = 0
    height_at: int = 0  # its place in `clean`
    process: int = 0
    components: tuple[int, ...] = ()
    #: by component, how many low bits of each coefficient are still to come; none is -1
    to_come: dict[int, list[int]] = field(default_factory=dict)
    end: int = 0  # place behind the end mark in the file
    scans: int = 0


def check(data: bytes, budget: Budget, *, rows: int | None = None, tables: bytes = b"") -> tuple[int, int, int]:
    """(width, height, place behind the end mark) once every pixel's data was read.

    rows: how many are needed, where a PDF or TIFF asks for fewer than the JPEG says it has. tables: a JPEG that has
    tables only, before those of `data`. Raises Unreadable, UnsupportedPicture.
    """
    walked = _walk(data, tables)
    if rows is not None and 0 < rows < walked.height:
        # Scanners that feed sheets write the greatest height into the JPEG and the sheet's into the file around it.
        walked.clean[walked.height_at : walked.height_at + 2] = rows.to_bytes(2, "big")
        walked.height = rows
    budget.spend(walked.width, walked.height, held=walked.process == _PROGRESSIVE)
    _read_all(walked)
    return walked.width, walked.height, walked.end


def _walk(data: bytes, tables: bytes) -> _Walked:
    if not data.startswith(b"\xff\xd8"):
        raise Unreadable(Reason.BROKEN)
    walked = _Walked(bytearray(b"\xff\xd8" + (tables[2:].removesuffix(_EOI) if tables else b"")))
    place = 2
    for _ in range(_MOST_MARKERS):
        # Stray bytes between segments are passed by, as every reader does; FF may be repeated before a marker.
        found = _MARKER.search(data, place)
        if found is None:
            place = len(data)
            break
        marker = data[found.start() + 1]
        place = found.end()
        if marker == _END:
            break
        if marker in _WITHOUT_LENGTH:
            continue
        length = int.from_bytes(data[place : place + 2], "big")
        segment = data[place : place + length]
        if length < 2 or len(segment) < length:
            raise Unreadable(Reason.BROKEN)
        place += length
        if marker in _FRAMES:
            _note_frame(walked, marker, segment)
        elif marker == _LINES:
            continue
        elif marker == _SCAN:
            stop = _end_of_scan(data, place)
            _note_scan(walked, segment)
            segment += data[place:stop]
            place = stop
        walked.clean += b"\xff%c" % marker + segment
    else:
        raise Unreadable(Reason.TOO_MUCH)
    walked.end = place
    _check_covered(walked)
    walked.clean += _EOI
    return walked


def _end_of_scan(data: bytes, place: int) -> int:
    found = _MARKER.search(data, place)
    return len(data) if found is None else found.start()


def _note_frame(walked: _Walked, process: int, segment: bytes) -> None:
    if walked.components or len(segment) < 8:
        raise Unreadable(Reason.BROKEN)
    if process not in (*_SEQUENTIAL, _PROGRESSIVE):
        lossless = process not in (0xC9, 0xCA)
        raise UnsupportedPicture(Feature.JPEG_LOSSLESS if lossless else Feature.JPEG_ARITHMETIC)
    if segment[2] != 8:
        raise UnsupportedPicture(Feature.JPEG_DEPTH)
    walked.process = process
    walked.height, walked.width = int.from_bytes(segment[3:5], "big"), int.from_bytes(segment[5:7], "big")
    walked.height_at = len(walked.clean) + 2 + 3
    count = segment[7]
    if walked.width == 0 or len(segment) < 8 + 3 * count or count == 0:
        raise Unreadable(Reason.BROKEN)
    if walked.height == 0:
        raise UnsupportedPicture(Feature.JPEG_HEIGHT)
    if count not in (1, 3, 4):
        raise UnsupportedPicture(Feature.JPEG_COLOURS)
    walked.components = tuple(segment[8 : 8 + 3 * count : 3])
    walked.to_come = {component: [_COEFFICIENTS] * _COEFFICIENTS for component in walked.components}


def _note_scan(walked: _Walked, segment: bytes) -> None:
    """Note what of the picture this scan brings (T.81, B.2.3 and G.1.1)."""
    count = segment[2] if len(segment) > 2 else 0
    if not walked.components or not 0 < count <= 4 or len(segment) < 6 + 2 * count:
        raise Unreadable(Reason.BROKEN)
    first, last, bits = segment[3 + 2 * count], segment[4 + 2 * count], segment[5 + 2 * count]
    if walked.process != _PROGRESSIVE:
        first, last, bits = 0, _COEFFICIENTS - 1, 0
    walked.scans += 1
    if walked.scans > MOST_SCANS:
        raise Unreadable(Reason.TOO_MUCH)
    for component in segment[3 : 3 + 2 * count : 2]:
        for coefficient in range(first, min(last, _COEFFICIENTS - 1) + 1):
            if component in walked.to_come:
                walked.to_come[component][coefficient] = min(walked.to_come[component][coefficient], bits & 15)


def _check_covered(walked: _Walked) -> None:
    """A scan was there for every component, and in a progressive one for every bit of every coefficient."""
    if not walked.scans or any(any(left) for left in walked.to_come.values()):
        raise Unreadable(Reason.BROKEN)


def _read_all(walked: _Walked) -> None:
    """Read every bit of the data; drawn at an eighth, in a sixty-fourth of the memory. Raises Unreadable."""
    data = walked.clean
    for _ in range(_MOST_CUTS):
        complaint = _complaint(data)
        if complaint is None or _NOT_LOST in complaint:
            return
        if any(word in complaint for word in _UNKNOWN_TO_TURBO):
            _draw_with_pillow(data)
            return
        stray = _JUNK_BEFORE_MARKER.search(complaint)
        if stray is None:
            raise Unreadable(Reason.BROKEN)
        # Bytes that were left over behind a scan's last pixel lose nothing. But the library tells its first complaint
        # only, and may have more: they are cut out, and it reads again.
        shorter = _without_stray(data, int(stray[1]), int(stray[2], 16), complaint)
        if shorter is None:
            return
        data = shorter


def _complaint(data: bytearray) -> str | None:
    """What TurboJPEG complains of first; None where it read everything."""
    try:
        simplejpeg.decode_jpeg(data, "gray", fastdct=True, fastupsample=True, min_height=1, min_width=1, strict=True)
    except (ValueError, RuntimeError) as error:
        return str(error)
    return None


def _without_stray(data: bytearray, count: int, marker: int, complaint: str) -> bytearray | None:
    """The JPEG without `count` bytes before one of its `marker`s, such that the complaint is another, or gone."""
    place, mark = 2, bytes((0xFF, marker))
    for _ in range(_MOST_CUTS):
        place = data.find(mark, place + 1)
        if place < 0:
            return None
        shorter = data[: place - count] + data[place:]
        if _complaint(shorter) != complaint:
            return shorter
    return None


def _draw_with_pillow(data: bytearray) -> None:
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
            picture.draft(None, (max(1, picture.width // 8), max(1, picture.height // 8)))
            picture.load()
    except OSError:
        raise UnsupportedPicture(Feature.JPEG_COLOURS) from None


# TurboJPEG makes its tables with its first picture: here, before anything of a stranger's is read.
simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(np.zeros((8, 8, 1), np.uint8), colorspace="gray"), "gray", strict=True)
