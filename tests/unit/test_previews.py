"""A page as a picture: its size, which way up it stands, and what became of its shades."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image

from services.document.parsing.errors import NoSuchPage, Reason, Unreadable
from services.document.parsing.previews import preview
from services.document.sandbox.sandbox import Sandbox
from services.document.upload.spool import Spool
from tests import samples


def shown(folder: Path, content: bytes, media_type: str, *, page: int = 1, width: int = 100) -> Image.Image:
    out = io.BytesIO()
    with Spool(folder) as spool:
        spool.write(content)
        preview(spool, out, media_type=media_type, page=page, width=width)
    picture = Image.open(out, formats=("PNG",))
    picture.load()
    return picture


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def corners() -> Image.Image:
    """40 by 20 px: red, green, blue and white, clockwise from the upper left."""
    picture = Image.new("RGB", (40, 20), "white")
    for place, colour in (((0, 0), "red"), ((20, 0), "lime"), ((20, 10), "blue")):
        picture.paste(colour, (*place, place[0] + 20, place[1] + 10))
    return picture


_TURNED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", _TURNED)
def test_a_photograph_stands_upright_however_the_phone_was_held(tmp_path: Path, orientation: int) -> None:
    turn = _TURNED[orientation]
    lying = corners() if turn is None else corners().transpose(turn)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    picture = shown(tmp_path, saved(lying, "PNG", exif=exif), "image/png", width=80)
    assert picture.size == (80, 40)
    places = {"red": (5, 5), "lime": (75, 5), "blue": (75, 35), "white": (5, 35)}
    expected = {name: Image.new("RGB", (1, 1), name).getpixel((0, 0)) for name in places}
    assert {name: picture.getpixel(place) for name, place in places.items()} == expected


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_shades_stay_what_they_are(tmp_path: Path, mode: str) -> None:
    white = Image.new("I;16", (64, 64), 65_535) if mode == "I;16" else Image.new("L", (64, 64), 255).convert(mode)
    black = Image.new("I;16", (64, 64), 0) if mode == "I;16" else Image.new("L", (64, 64), 0).convert(mode)
    for picture, level in ((white, 255), (black, 0)):
        drawn = shown(tmp_path, saved(picture, "PNG"), "image/png", width=32).convert("L")
        assert drawn.getextrema() == (level, level)


def test_what_is_transparent_is_white_and_what_is_for_print_is_seen(tmp_path: Path) -> None:
    clear = shown(tmp_path, saved(Image.new("RGBA", (64, 64), (0, 0, 0, 0)), "PNG"), "image/png")
    assert clear.getpixel((10, 10)) == (255, 255, 255)
    printed = shown(tmp_path, saved(Image.new("CMYK", (64, 64), (0, 0, 0, 255)), "TIFF"), "image/tiff")
    assert printed.getpixel((10, 10)) == (0, 0, 0)


@pytest.mark.parametrize("width", [16, 99, 800, 2_000])
def test_a_page_of_a_pdf_is_as_wide_as_was_asked_for(tmp_path: Path, width: int) -> None:
    assert shown(tmp_path, samples.pdf_scan(1), "application/pdf", width=width).width == width


def test_a_page_that_would_be_too_high_comes_out_narrower(tmp_path: Path) -> None:
    strip = shown(tmp_path, saved(Image.new("L", (20, 2_000)), "PNG"), "image/png", width=2_000)
    assert strip.size == (40, 4_000)


@pytest.mark.parametrize("media_type", ["application/pdf", "image/tiff", "image/jpeg"])
def test_there_is_no_page_behind_the_last(tmp_path: Path, media_type: str) -> None:
    content = {"application/pdf": samples.pdf_scan(2), "image/tiff": samples.tiff(2), "image/jpeg": samples.jpeg()}
    with pytest.raises(NoSuchPage):
        shown(tmp_path, content[media_type], media_type, page=3)


def test_a_large_scan_is_shown_in_little_more_memory_than_it_takes(tmp_path: Path) -> None:
    """Else the largest that are filed couldn't be shown."""
    content = saved(Image.new("RGB", (5_000, 4_000), "white"), "PNG")  # 80 MB in memory
    sandbox = Sandbox(memory_bytes=110_000_000)
    try:
        with Spool(tmp_path) as spool:
            spool.write(content)
            assert sandbox.inspect(spool).pages == 1
            asked = {"media_type": "image/png", "page": 1, "width": 800}
            with sandbox.stream("preview", spool, asked) as running:
                assert b"".join(iter(lambda: running.read(100_000), b"")).startswith(b"\x89PNG")
    finally:
        sandbox.close()


def test_a_small_file_of_endless_drawing_ends_within_its_limits(tmp_path: Path) -> None:
    sandbox = Sandbox(cpu_seconds=2)
    try:
        with Spool(tmp_path) as spool:
            spool.write(samples.pdf_of_forms(12))
            assert sandbox.inspect(spool).pages == 1
            asked = {"media_type": "application/pdf", "page": 1, "width": 100}
            with sandbox.stream("preview", spool, asked) as running, pytest.raises(Unreadable) as caught:
                running.read(100)
            assert caught.value.reason in (Reason.TOO_MUCH, Reason.BROKEN)
    finally:
        sandbox.close()
