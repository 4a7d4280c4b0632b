"""HEIC, HEIF and WebP: decoded whole, or refused."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path

import pillow_heif
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from services.document.parsing import photos
from services.document.parsing.errors import Reason, UnsupportedType
from services.document.parsing.inspection import Inspection
from services.document.parsing.media_types import HEIC, HEIF, WEBP
from tests import samples
from tests.unit.parsing_rig import Look, look_in, reason, status


def heic(width: int = 320, height: int = 240, *, more: int = 0, tile: int = 0) -> bytes:
    """A HEIC as a phone writes one. more: further photos in the same file. tile: pixels of the tiles' sides."""
    out = io.BytesIO()
    pictures = pillow_heif.HeifFile()
    for seed in range(more + 1):
        pictures.add_from_pillow(samples.picture(width, height, seed=seed))
    pictures.save(out, quality=60, tile_size=tile)
    return out.getvalue()


def webp(width: int = 320, height: int = 240, *, frames: int = 1, **options: object) -> bytes:
    out = io.BytesIO()
    first, *more = [samples.picture(width, height, seed=seed) for seed in range(frames)]
    animated = {"save_all": True, "append_images": more} if more else {}
    first.save(out, "WEBP", **animated, **options)  # type: ignore[arg-type]
    return out.getvalue()


def wide(name: str) -> bytes:
    """A picture of more pixels than are opened: a WebP of one colour, a HEIC that only says so."""
    if name == "heic":
        small = heic(320, 256)
        place = small.index(b"ispe") + 8
        return small[:place] + struct.pack(">LL", 16_000, 5_100) + small[place + 8 :]
    out = io.BytesIO()
    Image.new("RGB", (16_000, 5_100), "grey").save(out, "WEBP", method=0)
    return out.getvalue()


GOOD = {
    "heic": (heic(), HEIC),
    "heic, tiles": (heic(600, 400, tile=128), HEIC),
    "heic, three": (heic(more=2), HEIC),
    "heif": (heic().replace(b"ftypheic\0\0\0\0mif1heic", b"ftypmif1\0\0\0\0mif1miaf"), HEIF),
    "webp": (webp(), WEBP),
    "webp, lossless": (webp(lossless=True), WEBP),
    "webp, exif": (webp(exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"), WEBP),
    "webp, moving": (webp(frames=4), WEBP),
}


@pytest.fixture
def look(tmp_path: Path) -> Look:
    return look_in(tmp_path)


@pytest.mark.parametrize("name", GOOD)
def test_a_whole_photo_is_one_page(look: Look, name: str) -> None:
    data, media_type = GOOD[name]
    assert look(data) == Inspection(media_type=media_type, pages=1)


@pytest.mark.parametrize("name", GOOD)
def test_what_lies_behind_a_photo_is_kept_and_an_archive_is_a_warning(look: Look, name: str) -> None:
    data, media_type = GOOD[name]
    assert look(data + bytes(300)) == Inspection(media_type=media_type, pages=1)
    behind = Inspection(media_type=media_type, pages=1, warnings=("trailing_archive",))
    assert look(data + bytes(9) + samples.zip_archive()) == behind


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(GOOD)), share=st.floats(0.0, 1.0, exclude_max=True))
def test_a_photo_cut_anywhere_is_refused(look: Look, name: str, share: float) -> None:
    data = GOOD[name][0]
    cut = max(16, int(len(data) * share))
    if data[cut:].strip(b"\0"):
        assert reason(look, data[:cut]) is Reason.BROKEN


@pytest.mark.parametrize(
    "data", [heic(1200, 900), heic(1200, 900, tile=256), webp(1200, 900), webp(900, 600, lossless=True)]
)
def test_a_photo_whose_second_half_is_blank_is_broken(look: Look, data: bytes) -> None:
    half = len(data) // 2
    assert reason(look, data[:half] + bytes(len(data) - half)) is Reason.BROKEN


@pytest.mark.parametrize("name", ["webp", "heic"])
def test_more_pixels_than_are_opened_are_too_much(look: Look, name: str) -> None:
    assert reason(look, wide(name)) is Reason.TOO_MUCH


def test_frames_without_end_are_too_much(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "_MOST_PIXELS_IN_ALL", 320 * 240 * 3)
    assert reason(look, GOOD["webp, moving"][0]) is Reason.TOO_MUCH
    assert look(GOOD["heic, three"][0])


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B" + bytes(200),
        b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf" + bytes(200),
        b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + bytes(200),
        b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(200),
        b"\0\0\0\x18ftyphevc\0\0\0\0msf1hevc" + bytes(200),
        b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(200),
        b"\xff\x0a" + bytes(range(200)),
        b"RIFF\x24\0\0\0WAVEfmt " + bytes(28),
    ],
    ids=["avif", "avif as mif1", "mp4", "mov", "a film of pictures", "jxl", "jxl stream", "wav"],
)
def test_avif_jpeg_xl_and_films_are_unsupported_and_the_sentence_says_what_is_taken(look: Look, data: bytes) -> None:
    with pytest.raises(UnsupportedType) as caught:
        look(data)
    assert "HEIC, WebP" in caught.value.detail


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(GOOD)), seed=st.integers(0, 10**6), size=st.integers(1, 200))
def test_a_damaged_photo_is_taken_or_refused_and_nothing_else(look: Look, name: str, seed: int, size: int) -> None:
    data, chance = bytearray(GOOD[name][0]), random.Random(seed)
    place = chance.randrange(len(data))
    data[place : place + size] = chance.randbytes(min(size, len(data) - place))
    assert status(look, bytes(data)) in (201, 415, 422)
