"""The cover sheet of a paper file, for labels of any length."""

from __future__ import annotations

import pypdfium2
import pytest
import zxingcpp

from services.document.model.papers import label_of
from services.document.sheets import render_cover_sheet

A4_MM = (210, 297)
_POINT_MM = 25.4 / 72


@pytest.mark.parametrize("label", [label_of(7), label_of(12_345), "P-123456789012"])
def test_the_label_is_large_the_code_says_it_and_it_is_one_page(label: str) -> None:
    (page,) = pypdfium2.PdfDocument(render_cover_sheet(label))
    assert tuple(round(points * _POINT_MM) for points in page.get_size()) == A4_MM
    text = page.get_textpage()
    start = text.get_text_range().index(label)
    left, bottom, _, top = text.get_charbox(start)
    _, _, right, _ = text.get_charbox(start + len(label) - 1)
    assert (right - left) * _POINT_MM > 140
    assert (top - bottom) * _POINT_MM > 10
    assert right <= page.get_size()[0]
    picture = page.render(scale=1).to_pil()
    (code,) = zxingcpp.read_barcodes(picture)
    assert code.text == label


def test_a_code_of_which_a_part_is_torn_off_is_still_read() -> None:
    (page,) = pypdfium2.PdfDocument(render_cover_sheet(label_of(7)))
    picture = page.render(scale=2).to_pil().convert("L")
    (code,) = zxingcpp.read_barcodes(picture)
    place = code.position.bottom_right
    picture.paste(255, (place.x - 60, place.y - 60, place.x + 20, place.y + 20))
    (code,) = zxingcpp.read_barcodes(picture)
    assert code.text == label_of(7)


def test_the_same_label_gives_the_same_bytes() -> None:
    assert render_cover_sheet(label_of(7)) == render_cover_sheet(label_of(7))
    assert render_cover_sheet(label_of(7)) != render_cover_sheet(label_of(8))
