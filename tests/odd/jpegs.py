"""JPEGs."""

from __future__ import annotations

import io
import re
import struct

from PIL import Image

from services.document.parsing.errors import Feature, Reason
from tests import samples
from tests.odd.said import Said

EOI = b"\xff\xd9"
_SCAN = re.compile(rb"\xff\xda")


def jpeg(width: int = 160, height: int = 120, *, mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    samples.picture(width, height, mode=mode).save(out, "JPEG", **{"quality": 80, **options})
    return out.getvalue()


def scan_at(data: bytes, number: int = 0) -> int:
    """Where the data of a scan begins."""
    place = [found.start() for found in _SCAN.finditer(data)][number]
    return place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")


def half_then_end(data: bytes) -> bytes:
    start = scan_at(data)
    cut = start + (len(data) - start) // 2
    return data[:cut].removesuffix(b"\xff") + EOI


def patched(
    data: bytes, *, process: int | None = None, precision: int | None = None, height: int | None = None
) -> bytes:
    """With another frame header than the picture has."""
    place = next(data.index(b"\xff" + bytes((mark,))) for mark in (0xC0, 0xC2) if b"\xff" + bytes((mark,)) in data)
    made = bytearray(data)
    if process is not None:
        made[place + 1] = process
    if precision is not None:
        made[place + 4] = precision
    if height is not None:
        made[place + 5 : place + 7] = height.to_bytes(2, "big")
    return bytes(made)


def without_restart(data: bytes, number: int) -> bytes:
    """Without the piece between two restart marks."""
    marks = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", data)]
    return data[: marks[number]] + data[marks[number + 1] :]


def several(*, cut: bool = False) -> bytes:
    """A picture and a second view of it, as phones make them (MPO)."""
    out = io.BytesIO()
    first, second = samples.picture(160, 120), samples.picture(80, 60, seed=2)
    first.save(out, "MPO", save_all=True, append_images=[second])
    return out.getvalue()[: -300 if cut else None]


def with_between(data: bytes, stray: bytes) -> bytes:
    """With bytes behind its first segment."""
    place = 4 + int.from_bytes(data[4:6], "big")
    return data[:place] + stray + data[place:]


def stray_between_scans(data: bytes) -> bytes:
    """With bytes behind the data of a scan, before the next segment."""
    start = scan_at(data, 1)
    end = next(found.start() for found in re.finditer(rb"\xff[\xc4\xda]", data[start:])) + start
    return data[:end] + b"\0\x12\x34" + data[end:]


def scans(data: bytes, most: int) -> bytes:
    """The first scans of a progressive JPEG, and an end mark."""
    places = [found.start() for found in _SCAN.finditer(data)]
    # Tables for a scan stand before it.
    cut = places[most]
    while data[cut - 2 : cut] != EOI and (table := data.rfind(b"\xff\xc4", scan_at(data, most - 1), cut)) >= 0:
        cut = table
    return data[:cut] + EOI


def cases() -> list[Said]:
    plain, progressive, grey = jpeg(), jpeg(progressive=True), jpeg(mode="L")
    restarts = jpeg(restart_marker_rows=1)
    cmyk = jpeg(mode="CMYK")
    number = plain.index(b"\xff\xc0")
    lines = struct.pack(">BBHH", 0xFF, 0xDC, 4, 120)
    sound = {
        "plain": plain,
        "progressive": progressive,
        "grey": grey,
        "restart marks": restarts,
        "restart marks of each block": jpeg(restart_marker_blocks=1),
        "CMYK, inverted as Adobe does": cmyk,
        "sampled 4:4:4": jpeg(subsampling=0),
        "sampled 4:2:2": jpeg(subsampling=1),
        "one pixel": jpeg(1, 1),
        "one column": jpeg(1, 300),
        "no colour transform": jpeg(keep_rgb=True),
        "a second view": several(),
        "a second view that is cut": several(cut=True),
        "stray bytes": with_between(plain, b"\0\0\0stray"),
        "stray bytes, progressive": with_between(progressive, b"\0\0\0stray"),
        "fill bytes": with_between(plain, b"\xff\xff\xff"),
        "stray bytes before the end": plain[:-2] + b"\0\0\0" + EOI,
        "stray bytes before the end, progressive": progressive[:-2] + b"\x12\0\x34" + EOI,
        "stray bytes between scans": stray_between_scans(progressive),
        "no end mark": plain[:-2],
        "no end mark, progressive": progressive[:-2],
        "words behind the end": plain + b"what a phone adds" * 100,
        "zeros behind the end": plain + bytes(5000),
        "a comment": with_between(plain, b"\xff\xfe\0\x07Hello"),
        "its height once more": plain[: scan_at(plain)] + plain[scan_at(plain) : -2] + lines + EOI,
        "optimised": jpeg(optimize=True),
        "a high quality": jpeg(quality=100),
        "a flat white": _flat(),
    }
    cut = {
        "half": half_then_end(plain),
        "half, progressive": half_then_end(progressive),
        "half, grey": half_then_end(grey),
        "half, restart marks": half_then_end(restarts),
        "half, CMYK": half_then_end(cmyk),
        "half, flat white": half_then_end(_flat()),
        "half, no end mark": samples.truncated(plain),
        "between scans": scans(progressive, 3),
        "after the first scan": scans(progressive, 1),
        "one piece between restart marks": without_restart(restarts, 2),
        "fewer rows than it says": patched(plain, height=240),
        "a hole": plain[: scan_at(plain) + 200] + plain[scan_at(plain) + 1200 :],
        "half and stray bytes": half_then_end(with_between(plain, b"\0stray")),
        "half and words behind the end": half_then_end(plain) + b"what a phone adds" * 100,
        "no scan": plain[: plain.index(b"\xff\xda")] + EOI,
        "no columns": plain[: number + 7] + b"\0\0" + plain[number + 9 :],
    }
    other = {
        "12 bits": (patched(plain, process=0xC1, precision=12), Feature.JPEG_DEPTH),
        "lossless": (patched(plain, process=0xC3), Feature.JPEG_LOSSLESS),
        "arithmetic": (patched(plain, process=0xC9), Feature.JPEG_ARITHMETIC),
        "arithmetic, progressive": (patched(progressive, process=0xCA), Feature.JPEG_ARITHMETIC),
        "height told afterwards": (patched(plain, height=0), Feature.JPEG_HEIGHT),
    }
    return [
        *(Said(f"JPEG, {name}", data, pages=1) for name, data in sound.items()),
        *(Said(f"JPEG, cut: {name}", data, refusal=Reason.BROKEN) for name, data in cut.items()),
        *(Said(f"JPEG, {name}", data, refusal=why) for name, (data, why) in other.items()),
        Said("JPEG, with an archive behind it", plain + samples.zip_archive(), pages=1, warnings=("trailing_archive",)),
    ]


def _flat() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (640, 480), "white").save(out, "JPEG")
    return out.getvalue()
