"""What a file is, by its content; and that half a file, a locked one or a bomb is none."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from services.document.parsing.errors import Reason, UnsupportedType
from services.document.parsing.inspection import Inspection
from shared.errors import Problem
from tests import samples
from tests.unit.parsing_rig import Look, look_in, reason

GOOD: dict[str, tuple[bytes, str, int]] = {
    "text": (samples.pdf_text("An EHC plan (draft)", pages=2), "application/pdf", 2),
    "text, old tables": (samples.pdf_text("Old", pages=40, object_streams=False), "application/pdf", 40),
    "text, for the web": (samples.pdf_text("Web", pages=9, linearize=True), "application/pdf", 9),
    "revised": (samples.pdf_revised(), "application/pdf", 1),
    "scan": (samples.pdf_scan(4), "application/pdf", 4),
    "jpeg": (samples.jpeg(), "image/jpeg", 1),
    "jpeg, progressive": (samples.jpeg(progressive=True), "image/jpeg", 1),
    "jpeg, a dot": (samples.jpeg(1, 1), "image/jpeg", 1),
    "png": (samples.png(), "image/png", 1),
    "tiff": (samples.tiff(1), "image/tiff", 1),
    "tiff, raw": (samples.tiff(3, compression="raw"), "image/tiff", 3),
    "tiff, deflated": (samples.tiff(3, compression="tiff_adobe_deflate"), "image/tiff", 3),
    "tiff, jpeg": (samples.tiff(3, compression="jpeg"), "image/tiff", 3),
    "tiff, fax": (samples.tiff(5, compression="group4", mode="1"), "image/tiff", 5),
    "tiff, big": (samples.tiff(3, big=True), "image/tiff", 3),
}
REVISION = samples.pdf_text("First", pages=1, object_streams=False)


@pytest.fixture
def look(tmp_path: Path) -> Look:
    return look_in(tmp_path)


@pytest.mark.parametrize("name", GOOD)
def test_a_whole_file_is_known_by_its_content(look: Look, name: str) -> None:
    data, media_type, pages = GOOD[name]
    assert look(data) == Inspection(media_type=media_type, pages=pages)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(GOOD)),
    share=st.floats(0.0, 1.0, exclude_max=True),
    tail=st.one_of(st.none(), st.integers(1, 600)),
)
def test_a_file_cut_anywhere_is_refused(look: Look, name: str, share: float, tail: int | None) -> None:
    data = GOOD[name][0]
    # Of the first few bytes alone some are a text: they are as good as that.
    cut = max(16, int(len(data) * share) if tail is None else len(data) - tail)
    lost = data[cut:].strip(b"\0\r\n")
    # What pads the end may go, and a JPEG's end mark, behind its last pixel; and the first revision of a file is a
    # file, whatever was appended later.
    if not lost or (name.startswith("jpeg") and lost in (b"\xff\xd9", b"\xd9")):
        return
    if name == "revised" and data[:cut].rstrip() == REVISION.rstrip():
        return
    with pytest.raises(Problem):
        look(data[:cut])


@pytest.mark.parametrize("name", GOOD)
def test_half_a_file_is_broken(look: Look, name: str) -> None:
    assert reason(look, samples.truncated(GOOD[name][0])) is Reason.BROKEN


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(GOOD)), seed=st.integers(0, 10**6), size=st.integers(1, 400))
def test_a_damaged_file_is_taken_or_refused_and_nothing_else(look: Look, name: str, seed: int, size: int) -> None:
    data, chance = bytearray(GOOD[name][0]), random.Random(seed)
    place = chance.randrange(len(data))
    data[place : place + size] = chance.randbytes(min(size, len(data) - place))
    with contextlib.suppress(Problem):
        look(bytes(data))


def test_a_pdf_whose_middle_is_missing_is_broken(look: Look) -> None:
    data = samples.pdf_scan(3)
    hole = data.index(b"/Type /XObject") - 200
    assert reason(look, data[:hole] + b"\0" * 5000 + data[hole + 5000 :]) is Reason.BROKEN
    assert reason(look, data[: len(data) // 3] + data[len(data) // 3 + 1000 :]) is Reason.BROKEN


def test_a_truncated_pdf_with_a_new_end_is_broken(look: Look) -> None:
    half = samples.truncated(samples.pdf_scan(3))
    for end in (b"%%EOF", b"\nstartxref\n0\n%%EOF\n", b"\ntrailer <</Root 1 0 R>>\nstartxref\n9\n%%EOF\n"):
        assert reason(look, half + end) is Reason.BROKEN


def test_a_pdf_without_pages_is_refused(look: Look) -> None:
    assert reason(look, samples.pdf_without_pages()) is Reason.NO_PAGES


def test_an_empty_file_is_refused(look: Look) -> None:
    assert reason(look, b"") is Reason.EMPTY


@pytest.mark.parametrize(
    "data",
    [samples.zip_archive(), bytes(1025) + samples.pdf_text("x"), b"GIF89a" + bytes(50), b"<html>%PDF-x", b"\xff\xd8",
     samples.zip_archive() + samples.pdf_text("x")],
)  # fmt: skip
def test_anything_else_is_unsupported_whatever_it_is_called(look: Look, data: bytes) -> None:
    with pytest.raises(UnsupportedType) as caught:
        look(data)
    assert caught.value.name == "unsupported-media-type"


@pytest.mark.parametrize(
    "magic", [b"%PDF-1.7\n", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"II+\0"]
)
def test_a_first_line_alone_does_not_make_a_file(look: Look, magic: bytes) -> None:
    assert reason(look, magic) is Reason.BROKEN
    assert reason(look, magic + random.Random(1).randbytes(4000)) is Reason.BROKEN


def test_a_pdf_that_unfolds_without_end_is_refused(look: Look) -> None:
    began = time.process_time()
    assert reason(look, samples.pdf_bomb(100 * 1024 * 1024)) in (Reason.BROKEN, Reason.TOO_MUCH)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("name", "limit", "value"),
    [
        ("text, old tables", "services.document.parsing.pdf.MOST_PAGES", 39),
        ("text, old tables", "services.document.parsing.pdf.MOST_OBJECTS", 40),
        ("tiff, fax", "services.document.parsing.tiff.MOST_PAGES", 4),
        ("tiff, fax", "services.document.parsing.budget.MOST_PIXELS_IN_ALL", 4 * 200 * 150),
        ("jpeg", "services.document.parsing.budget.MOST_PIXELS_AT_ONCE", 320 * 240 - 1),
        ("jpeg, progressive", "services.document.parsing.budget.MOST_PIXELS", 320 * 240 - 1),
        ("scan", "services.document.parsing.budget.MOST_PIXELS_IN_ALL", 4 * 620 * 877 - 1),
        ("png", "services.document.parsing.budget.MOST_PIXELS", 320 * 240 - 1),
    ],
)
def test_a_file_of_too_much_is_refused(
    look: Look, monkeypatch: pytest.MonkeyPatch, name: str, limit: str, value: int
) -> None:
    monkeypatch.setattr(limit, value)
    assert reason(look, GOOD[name][0]) is Reason.TOO_MUCH


def test_a_pdf_that_hides_how_many_objects_it_has_is_counted_all_the_same(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = GOOD["text, old tables"][0]
    place = data.rindex(b"/Size ") + 6
    hiding = data[:place] + b"9 " + data[place + 2 :]
    assert look(hiding).pages == 40
    monkeypatch.setattr("services.document.parsing.pdf.MOST_OBJECTS", 40)
    assert reason(look, hiding) is Reason.TOO_MUCH


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(look: Look) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    for side in (12_000, 60_000):
        size = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        rows = zlib.compress(b"\0" * 1000)
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
        assert reason(look, data) is Reason.TOO_MUCH


def test_a_tiff_whose_pages_go_round_in_a_circle_is_refused(look: Look) -> None:
    data = bytearray(samples.tiff(1, compression="raw"))
    first = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[first : first + 2], "little")
    link = first + 2 + 12 * count
    data[link : link + 4] = first.to_bytes(4, "little")
    assert reason(look, bytes(data)) is Reason.BROKEN


def test_a_thumbnails_end_is_not_the_pictures_end(look: Look) -> None:
    thumbnail = samples.jpeg(16, 16)
    plain = io.BytesIO()
    Image.new("L", (600, 600), 200).save(plain, "JPEG")
    whole = plain.getvalue()
    inside = b"\xff\xe5" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    data = whole[:2] + inside + whole[2:]
    assert look(data).pages == 1
    assert look(data + b"what a phone adds").pages == 1
    assert look(data[:-2]).pages == 1
    assert reason(look, data[:-40]) is Reason.BROKEN


def test_no_error_repeats_what_is_in_the_file(look: Look, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    for name in GOOD:
        with pytest.raises(Problem) as caught:
            look(samples.truncated(GOOD[name][0], 0.9))
        said = f"{caught.value!r} {caught.value} {caught.value.detail} {caught.value.__cause__!r}"
        assert "Zo" not in said
        assert "0x" not in caught.value.detail
    assert caplog.records == []


def test_a_scan_of_twenty_megabytes_is_counted_quickly(look: Look) -> None:
    data = samples.pdf_scan(2, quality=95)
    pages = 20_000_000 // (len(data) // 2)
    data = samples.pdf_scan(pages, quality=95)
    began = time.process_time()
    assert look(data).pages == pages
    assert len(data) > 18_000_000
    assert time.process_time() - began < 0.3
