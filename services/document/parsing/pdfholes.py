"""Parts of a PDF's pages that are spoken of and aren't there: pages, drawing instructions, pictures, forms.

To qpdf what is missing is null, and a key whose value is null is no key. So references are looked for in the objects'
own text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pikepdf

from services.document.parsing.errors import Reason, Unreadable
from services.document.parsing.pdfview import View
from services.document.parsing.seekable import read_at

_REFERENCE = re.compile(rb"(?<![0-9.])(\d{1,10})\s+(\d{1,5})\s+R(?![A-Za-z])")
_STRINGS = re.compile(rb"\((?:\\.|[^\\)(])*\)|<[0-9a-fA-F]*>", re.DOTALL)
_DRAWN = re.compile(rb"/(?:Kids|Contents)\s*(?:\[[^\]]*\]|\d+\s+\d+\s+R)|/XObject\s*<<[^<>]*>>")
_TEXT_ENDS = re.compile(rb"\bendobj\b|\bstream\b")
_TEXT_SIZES = (2 * 1024, 512 * 1024)  # bytes of one object's text: most are short, a page's pictures can be many
_OBJECT_AT, _OBJECT_IN_STREAM = 1, 2  # types of entries of the table


def require_none_drawn(document: pikepdf.Pdf, view: View) -> None:
    """Raises Unreadable unless each page is there and all that is said to be drawn on one.

    Another thing that is missing is null for every reader (ISO 32000-2, 7.3.10).
    """
    known = _numbers(document)
    for text in _texts(document, view):
        if any(_lacks(drawn, known) for drawn in _DRAWN.findall(_STRINGS.sub(b"()", text))):
            raise Unreadable(Reason.BROKEN)


def require_none(document: pikepdf.Pdf, view: View) -> None:
    """Raises Unreadable unless everything that is referred to is there."""
    known = _numbers(document)
    if any(_lacks(_STRINGS.sub(b"()", text), known) for text in _texts(document, view)):
        raise Unreadable(Reason.BROKEN)


def _numbers(document: pikepdf.Pdf) -> set[int]:
    return {number for number, _ in document.get_xref_table()}


def _lacks(text: bytes, known: set[int]) -> bool:
    return any(int(number) not in known for number, _ in _REFERENCE.findall(text))


def _texts(document: pikepdf.Pdf, view: View) -> Iterator[bytes]:
    """The text of each object, as it stands in the file or in a stream of objects."""
    streams: set[int] = set()
    places: list[int] = []
    for entry in document.get_xref_table().values():
        if entry.type == _OBJECT_AT:
            places.append(int(entry.offset or 0))
        elif entry.type == _OBJECT_IN_STREAM:
            streams.add(int(entry.obj_stream_number or 0))
    for place in sorted(places):
        for size in _TEXT_SIZES:
            text = read_at(view, place, size)
            if ends := _TEXT_ENDS.search(text):
                text = text[: ends.start()]
                break
        yield text
    for number in sorted(streams):
        yield document.get_object((number, 0)).read_bytes()
