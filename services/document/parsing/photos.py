"""The photos of phones: HEIC and HEIF (ISO 23008-12), WebP (RFC 9649); decoded whole, as other pictures are."""

from __future__ import annotations

from typing import BinaryIO, cast

import pillow_heif
from PIL import Image

from services.document.parsing.budget import MOST_PIXELS
from services.document.parsing.endings import archive_behind
from services.document.parsing.errors import Reason, Unreadable, UnsupportedType
from services.document.parsing.media_types import HEIC, HEIF, WEBP
from services.document.parsing.seekable import Seekable, read_at

_MOST_PIXELS_IN_ALL = 800_000_000  # of all pictures in one file: a burst, or a film of a few seconds
_MOST_BOXES = 10_000
#: Of a WebP: its decoder holds each four times over, in less than the memory that there is.
_MOST_PIXELS_OF_WEBP = 18_000_000
_BLANK = (
    16 * 1024
)  # bytes of NUL at the end of a picture's data: a copy that was broken off leaves them, no encoder does
_HEVC = {b"heic", b"heix", b"heim", b"heis"}
_STILL = _HEVC | {b"mif1", b"mif2"}
_FILM = {b"hevc", b"hevx", b"hevm", b"hevs", b"msf1"}

# Photos come one by one, and a child process may start no thread that it can do without.
pillow_heif.options.DECODE_THREADS = 0
pillow_heif.options.THUMBNAILS = False
pillow_heif.options.DEPTH_IMAGES = False
pillow_heif.options.AUX_IMAGES = False
pillow_heif.register_heif_opener()  # for previews


def is_heif(head: bytes) -> bool:
    """Whether a file that begins so is of the family of HEIF, AVIF and MP4."""
    return head[4:8] == b"ftyp"


def is_webp(head: bytes) -> bool:
    return head.startswith(b"RIFF") and head[8:12] == b"WEBP"


def check_heif(source: Seekable) -> tuple[str, tuple[str, ...]]:
    """The media type and warnings of a HEIC or HEIF, once every picture in it was decoded.

    Raises UnsupportedType for AVIF and for films, and Unreadable.
    """
    media_type = _check_boxes(source)
    warnings = archive_behind(source, _end_of_boxes(source))
    source.seek(0)
    photos = pillow_heif.open_heif(cast(BinaryIO, source))
    if not len(photos):
        raise Unreadable(Reason.BROKEN)
    _check_pixels([photo.size for photo in photos])
    while len(photos):
        photos[0].load()
        del photos[0]  # with its pixels
    return media_type, warnings


def check_webp(source: Seekable) -> tuple[str, tuple[str, ...]]:
    """The media type and warnings of a WebP, once it was decoded; every frame where it moves. Raises Unreadable."""
    warnings = archive_behind(source, _end_of_chunks(source))
    source.seek(0)
    with Image.open(cast(BinaryIO, source), formats=("WEBP",)) as picture:
        frames = getattr(picture, "n_frames", 1)
        if picture.width * picture.height > _MOST_PIXELS_OF_WEBP:
            raise Unreadable(Reason.TOO_MUCH)
        _check_pixels([picture.size] * frames)
        for frame in range(frames):
            picture.seek(frame)
            picture.load()
    return WEBP, warnings


def _check_pixels(sizes: list[tuple[int, int]]) -> None:
    pixels = [width * height for width, height in sizes]
    if max(pixels) > MOST_PIXELS or sum(pixels) > _MOST_PIXELS_IN_ALL:
        raise Unreadable(Reason.TOO_MUCH)


def _check_boxes(source: Seekable) -> str:
    """The media type by the brands of its first box (ISO 14496-12, 4.3). Raises UnsupportedType, Unreadable."""
    size = int.from_bytes(read_at(source, 0, 4), "big")
    if not 16 <= size <= 4096:
        raise Unreadable(Reason.BROKEN)
    brands = read_at(source, 8, size - 8)
    major = brands[:4]
    all_brands = {major, *(brands[place : place + 4] for place in range(8, len(brands), 4))}
    if major in (b"avif", b"avis") or not all_brands & (_STILL | _FILM):
        raise UnsupportedType
    if b"avif" in all_brands and not all_brands & _HEVC:
        raise UnsupportedType
    if not all_brands & _STILL:  # pictures as a film alone, which no program here can decode
        raise UnsupportedType
    return HEIC if all_brands & _HEVC else HEIF


def _end_of_boxes(source: Seekable) -> int:
    """Where the last box ends, once each was found to lie inside the file. Raises Unreadable.

    What isn't a box behind the last one is told apart by its first bytes: no box has such a name.
    """
    place, kinds = 0, set[bytes]()
    for _ in range(_MOST_BOXES):
        head = read_at(source, place, 16)
        kind = head[4:8]
        if place == source.size or (b"mdat" in kinds and not _is_name(kind)):
            break
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        elif size == 0:  # to the end of the file
            size = source.size - place
        if not _is_name(kind) or size < 8 or place + size > source.size:
            raise Unreadable(Reason.BROKEN)
        kinds.add(kind)
        place += size
        if kind == b"mdat":
            _check_not_blank(source, place)
    else:
        raise Unreadable(Reason.TOO_MUCH)
    if not {b"meta", b"mdat"} <= kinds and not {b"meta", b"idat"} <= kinds:
        raise Unreadable(Reason.BROKEN)
    return place


def _is_name(kind: bytes) -> bool:
    return len(kind) == 4 and all(0x20 <= letter < 0x7F for letter in kind)


def _end_of_chunks(source: Seekable) -> int:
    """Where the RIFF container ends, once each chunk was found to lie inside it. Raises Unreadable."""
    end = 8 + int.from_bytes(read_at(source, 4, 4), "little")
    # A container of an odd length may lack its last byte, which pads it.
    if end > source.size + 1:
        raise Unreadable(Reason.BROKEN)
    place = 12
    while place + 8 <= end:
        head = read_at(source, place, 8)
        place += 8 + int.from_bytes(head[4:8], "little")
        if len(head) < 8 or place > end:
            raise Unreadable(Reason.BROKEN)
        place += place % 2
    end = min(end, source.size)
    _check_not_blank(source, end)
    return end


def _check_not_blank(source: Seekable, end: int) -> None:
    """The picture's data don't end in nothing: decoders make a grey area of that, and no error. Raises Unreadable."""
    if read_at(source, max(0, end - _BLANK), _BLANK).count(0) >= _BLANK and end >= _BLANK:
        raise Unreadable(Reason.BROKEN)
