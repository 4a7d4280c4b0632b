"""Parts of a PDF's pages that are spoken of and aren't there: pages, drawing instructions, pictures, forms.

To qpdf what is missing is null, and a key whose value is null is no key. So references are looked for in the objects'
own text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pikepdf

from services.document.parsing import pdfcircles
from services.document.parsing.errors import Reason, Unreadable
from services.document.parsing.pdfview import View
from services.document.parsing.seekable import read_at

_REFERENCE = re.compile(rb"(?<![0-9.])(\d{1,10})\s+(\d{1,5})\s+R(?![A-Za-z])")
_STRINGS = re.compile(rb"\((?:\\.|[^\\)(])*\)|<[0-9a-fA-F]*>", re.DOTALL)
_DRAWN = re.compile(rb"/(?:Kids|Contents)\s*(?:\[[^\]]*\]|\d+\s+\d+\s+R)|/XObject\s*<<[^<>]*>>")
_TEXT_ENDS = re.compile(rb"\bendobj\b|\bstream\b")
_BEGINS = re.compile(rb"\s*\d{1,10}\s+\d{1,5}\s+obj\b")
_TEXT_SIZES = (2 * 1024, 512 * 1024)  # bytes of one object's text: most are short, a page's pictures can be many
_OBJECT_AT, _OBJECT_IN_STREAM = 1, 2  # types of entries of the table


def require_none_drawn(document: pikepdf.Pdf, view: View) -> None:
    """Raises Unreadable unless each page is there and all that is said to be drawn on one, and no way goes in a circle.

    Another thing that is missing is null for every reader (ISO 32000-2, 7.3.10).
    """
    known = _numbers(document)
    texts = [(number, _STRINGS.sub(b"()", text)) for number, text in _texts(document, view)]
    if any(_lacks(drawn, known) for _, text in texts for drawn in _DRAWN.findall(text)):
        raise Unreadable(Reason.BROKEN)
    pdfcircles.require_none(texts)


def require_none(document: pikepdf.Pdf, view: View) -> None:
    """Raises Unreadable unless everything that is referred to is there."""
    known = _numbers(document)
    if any(_lacks(_STRINGS.sub(b"()", text), known) for _, text in _texts(document, view)):
        raise Unreadable(Reason.BROKEN)


def _numbers(document: pikepdf.Pdf) -> set[int]:
    return {number for number, _ in document.get_xref_table()}


def _lacks(text: bytes, known: set[int]) -> bool:
    return any(int(number) not in known for number, _ in _REFERENCE.findall(text))


def _texts(document: pikepdf.Pdf, view: View) -> Iterator[tuple[int, bytes]]:
    """The number and the text of each object, as it stands in the file or in a stream of objects."""
    streams: set[int] = set()
    places: list[tuple[int, int]] = []
    for (number, _), entry in document.get_xref_table().items():
        if entry.type == _OBJECT_AT:
            places.append((int(entry.offset or 0), number))
        elif entry.type == _OBJECT_IN_STREAM:
            streams.add(int(entry.obj_stream_number or 0))
    for place, number in sorted(places):
        for size in _TEXT_SIZES:
            text = read_at(view, place, size)
            if ends := _TEXT_ENDS.search(text):
                text = text[: ends.start()]
                break
        yield number, _BEGINS.sub(b"", text, count=1)
    for number in sorted(streams):
        yield from _in_stream(document.get_object((number, 0)))


def _in_stream(stream: pikepdf.Object) -> Iterator[tuple[int, bytes]]:
    """The objects of a stream of them: pairs of number and place come first (ISO 32000-2, 7.5.7)."""
    data, first = stream.read_bytes(), int(stream.get("/First", 0))
    pairs = [int(one) for one in data[:first].split() if one.isdigit()]
    starts = [*(first + place for place in pairs[1::2]), len(data)]
    for number, start, end in zip(pairs[::2], starts, sorted(starts)[1:], strict=False):
        yield number, data[start : max(start, end)]
