"""The demo's sample scan: an EHC plan of several pages, images without text, as a scanner produces it."""

from __future__ import annotations

import io
import json
import random

import pikepdf
import typst
from PIL import Image, ImageDraw, ImageFilter

from demo.family import Family

_DOTS_PER_INCH = 100
_PAGE_POINTS = (595, 842)
_PAGES = 4
# The texts are passed as values, so that typst doesn't read them as markup.
_PLAN = """
#let plan = json(bytes(sys.inputs.plan))
#set page(paper: "a4", margin: 2.6cm, footer: align(center, context counter(page).display("1 / 1", both: true)))
#set text(size: 12pt)
#set par(leading: 0.9em)
#let ruled = range(9).map(_ => { v(0.62cm); line(length: 100%, stroke: 0.4pt + luma(150)) }).join()
#for number in range(plan.pages) {
  if number > 0 { pagebreak() }
  text(size: 19pt, weight: "bold", if number == 0 [Education, health and care plan] else [Section #number])
  v(0.4cm)
  for line in plan.lines { par(line) }
  v(0.6cm)
  ruled
}
"""


def sample_plan(family: Family) -> bytes:
    """Return a scanned plan of this family's child, as a PDF."""
    child = f"{family.child_given_name} {family.surname}, born {family.child_born:%-d %B %Y}"
    lines = [child, ", ".join(family.address), family.wish, family.action, family.outcome]
    values = json.dumps({"lines": lines, "pages": _PAGES})
    drawn = typst.compile(_PLAN.encode(), format="png", ppi=_DOTS_PER_INCH, sys_inputs={"plan": values})
    document = pikepdf.new()
    noise = random.Random(0)  # noqa: S311 (specks of dust)
    for picture in drawn if isinstance(drawn, list) else [drawn]:
        if picture is not None:
            _add_page(document, *_scan(picture, noise))
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def _scan(drawn: bytes, noise: random.Random) -> tuple[bytes, int, int]:
    """Return the page as a scanner produces it, speckled and slightly rotated: a JPEG with its width and height."""
    paper = Image.open(io.BytesIO(drawn)).convert("L").point(lambda shade: 30 + shade * 213 // 255)
    draw = ImageDraw.Draw(paper)
    for _ in range(900):
        draw.point((noise.randrange(paper.width), noise.randrange(paper.height)), fill=noise.randrange(90, 220))
    askew = paper.rotate(noise.uniform(-0.7, 0.7), resample=Image.Resampling.BICUBIC, fillcolor=236)
    out = io.BytesIO()
    askew.filter(ImageFilter.GaussianBlur(0.4)).save(out, "JPEG", quality=70)
    return out.getvalue(), paper.width, paper.height


def _add_page(document: pikepdf.Pdf, picture: bytes, width: int, height: int) -> None:
    page = document.add_blank_page(page_size=_PAGE_POINTS)
    image = pikepdf.Stream(document, picture)
    image.update(
        pikepdf.Dictionary(
            Type=pikepdf.Name.XObject,
            Subtype=pikepdf.Name.Image,
            Width=width,
            Height=height,
            BitsPerComponent=8,
            ColorSpace=pikepdf.Name.DeviceGray,
            Filter=pikepdf.Name.DCTDecode,
        )
    )
    page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(Im0=image))
    page.Contents = pikepdf.Stream(document, b"q %d 0 0 %d 0 0 cm /Im0 Do Q" % _PAGE_POINTS)
