"""A scan for those who bring none: an EHC plan of several pages, all pictures and no text, as a scanner makes it."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence

import pikepdf
from PIL import Image, ImageDraw, ImageFilter, ImageFont

# A4 at 100 dots an inch.
_SIZE = (827, 1169)
_PAGE_POINTS = (595, 842)


def scanned_plan(title: str, name: str, lines: Sequence[str], *, pages: int = 4, seed: int = 0) -> bytes:
    """A PDF of `pages` pictures with the words drawn into them, speckled and askew like paper on glass."""
    document = pikepdf.new()
    noise = random.Random(seed)  # noqa: S311 (specks of dust)
    for number in range(1, pages + 1):
        words = [title, name, "", *lines] if number == 1 else [f"{title}, page {number}", "", *lines[number - 2 :]]
        _add_page(document, _scan(words, f"{number} / {pages}", noise))
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def _scan(words: Sequence[str], foot: str, noise: random.Random) -> bytes:
    paper = Image.new("L", _SIZE, 243)
    draw = ImageDraw.Draw(paper)
    heading, body = ImageFont.load_default(30), ImageFont.load_default(20)
    y = 90
    for number, line in enumerate(words):
        draw.text((80, y), line, fill=35, font=heading if number == 0 else body)
        y += 60 if number == 0 else 38
    for row in range(8):
        draw.line((80, y + 40 * row + 60, _SIZE[0] - 80, y + 40 * row + 60), fill=200)
    draw.text((_SIZE[0] // 2 - 20, _SIZE[1] - 70), foot, fill=60, font=body)
    for _ in range(900):
        draw.point((noise.randrange(_SIZE[0]), noise.randrange(_SIZE[1])), fill=noise.randrange(90, 220))
    askew = paper.rotate(noise.uniform(-0.7, 0.7), resample=Image.Resampling.BICUBIC, fillcolor=236)
    out = io.BytesIO()
    askew.filter(ImageFilter.GaussianBlur(0.4)).save(out, "JPEG", quality=70)
    return out.getvalue()


def _add_page(document: pikepdf.Pdf, picture: bytes) -> None:
    page = document.add_blank_page(page_size=_PAGE_POINTS)
    image = pikepdf.Stream(document, picture)
    image.update(
        pikepdf.Dictionary(
            Type=pikepdf.Name.XObject,
            Subtype=pikepdf.Name.Image,
            Width=_SIZE[0],
            Height=_SIZE[1],
            BitsPerComponent=8,
            ColorSpace=pikepdf.Name.DeviceGray,
            Filter=pikepdf.Name.DCTDecode,
        )
    )
    page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(Im0=image))
    page.Contents = pikepdf.Stream(document, b"q %d 0 0 %d 0 0 cm /Im0 Do Q" % _PAGE_POINTS)
