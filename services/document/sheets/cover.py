"""The cover sheet of a paper file: its label in large type, and the same as a QR code."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import segno
import typst

_FOLDER: Final = Path(__file__).parent
_STANDARDS: Final[list[Any]] = ["a-2b", "ua-1"]
# The same paper file always has the same sheet, byte for byte.
_DATED: Final = datetime(2026, 1, 1, tzinfo=UTC)
# Of the code's squares a third may be worn, torn or stained.
_CORRECTION: Final = "h"
_QUIET_ZONE: Final = 4  # squares, as ISO/IEC 18004 asks


def render_cover_sheet(label: str) -> bytes:
    """One page, as PDF/A-2b and PDF/UA-1. label: such as P-0007, and all that the code says."""
    sheet = {"label": label, "code": _code_of(label)}
    made = typst.compile(
        str(_FOLDER / "cover.typ"),
        root=str(_FOLDER),
        font_paths=_fonts(),
        ignore_system_fonts=True,
        sys_inputs={"sheet": json.dumps(sheet)},
        format="pdf",
        pdf_standards=_STANDARDS,
        timestamp=_DATED,
    )
    if not isinstance(made, bytes):
        raise RuntimeError("a cover sheet is one PDF")
    return made


@cache
def _fonts() -> typst.Fonts:
    """Only what is built into the typesetter: the same sheet on every machine. A worker prints none."""
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=True)


def _code_of(label: str) -> str:
    """The QR code as SVG."""
    drawn = io.BytesIO()
    segno.make_qr(label, error=_CORRECTION).save(drawn, kind="svg", border=_QUIET_ZONE, light="#fff", xmldecl=False)
    return drawn.getvalue().decode()
