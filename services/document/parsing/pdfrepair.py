"""Which faults of a PDF lose nothing, and when a table of objects that was made anew has all of them.

qpdf tells a fault as a sentence. Those that are known to lose nothing are listed, each with its reason; after any other
the PDF is damaged.
"""

from __future__ import annotations

import re
from typing import Any

import pikepdf

from services.document.parsing import pdfholes
from services.document.parsing.errors import Reason, Unreadable
from services.document.parsing.pdfview import View
from services.document.parsing.seekable import read_at

#: Faults of the form alone, in qpdf's words.
_HARMLESS = (
    "reported number of objects",  # /Size is wrong, but each object is found by its own entry
    "extraneous whitespace",  # blanks where none should be
    "invalid /ID in trailer",  # no part of a page
    "dictionary has duplicated key",  # the last one holds, for every reader
    "stream keyword followed by",  # a line's end of another form
    "stream keyword not followed by",
    "name with stray #",  # names of before PDF 1.2
    "null character not allowed in name",
    "appears more than once in the pages tree",  # the same page is shown twice
    "/Type key should be /Page",  # a page that doesn't say that it is one
    "MediaBox is undefined",  # shown as Letter
    "expected endobj",  # the object before it was read to its own end
    "linearization",  # only for reading a file while it still arrives
)
#: Faults that a table made anew mends. Whether it has everything is checked afterwards.
_MENDED = (
    "file is damaged",
    "Attempting to reconstruct cross-reference table",
    "can't find startxref",
    "startxref was more than 1024 bytes",
    "xref not found",
    "xref table",
    "xref stream",
    "xref entry",
    "expected xref",
    "trailer dictionary",
    "expected trailer",
    "offset",  # "object has offset 0", "expected 5 0 obj"
    "expected n n obj",
    "expected endstream",
    "attempting to recover stream length",
    "recovered stream length",
)
_UNMENDED = ("unable to recover", "treating stream as empty", "EOF", "unexpected")
_ABOUT_LOCKS = re.compile(r"encrypt|security handler|/CF\b|crypt filter", re.IGNORECASE)
_DEFINED = re.compile(rb"(?<![0-9])(\d{1,10})\s+(\d{1,5})\s+obj(?![a-z])")
_IN_USE = re.compile(rb"\d{10} \d{5} n(?=[\s\0]|$)")
_LENGTH = re.compile(rb"/Length\s+(\d+)(?:\s+\d+\s+R)?")
_PIECE = 4 * 1024 * 1024
_OVERLAP = 64
_SHORTER = 16  # bytes of line ends that a stream may lack at its end


class Repairable(Exception):
    """The table of objects isn't sound as it stands."""


def require_sound_table(document: pikepdf.Pdf) -> None:
    """Raises Repairable unless each object was found where the table says, with harmless faults at most."""
    for _ in document.objects:  # reads each
        pass
    if not all(_is_one_of(_HARMLESS, said) for said in _said(document)):
        raise Repairable


def require_harmless(document: pikepdf.Pdf) -> None:
    """Raises Unreadable when, while the document was looked at, qpdf met a fault that isn't known to lose nothing."""
    if not all(_is_one_of(_HARMLESS + _MENDED, said) and not _is_one_of(_UNMENDED, said) for said in _said(document)):
        raise Unreadable(Reason.BROKEN)


def require_complete(document: pikepdf.Pdf, view: View) -> None:
    """Raises Unreadable unless the table that was made anew has every object that the file speaks of.

    That is: as many are defined as its old tables name, and none is referred to that isn't there.
    """
    for thing in document.objects:
        if isinstance(thing, pikepdf.Stream):
            _require_length(document, thing, view)
    pdfholes.require_none(document, view)
    require_harmless(document)
    defined, in_use = _counted(view)
    if defined < in_use:
        raise Unreadable(Reason.BROKEN)


def is_about_locks(error: Exception) -> bool:
    """Whether qpdf couldn't open it because of how it is encrypted."""
    return bool(_ABOUT_LOCKS.search(str(error)))


def _require_length(document: pikepdf.Pdf, stream: Any, view: View) -> None:
    """A stream whose end had to be looked for isn't shorter than it says: then a piece of it was cut out."""
    entry = document.get_xref_table().get(stream.objgen)
    offset = getattr(entry, "offset", None)
    if offset is None:
        return
    found = _LENGTH.search(read_at(view, int(offset), 4096))
    if found is None or found[0].endswith(b"R"):
        return
    if int(found[1]) > len(stream.read_raw_bytes()) + _SHORTER:
        raise Unreadable(Reason.BROKEN)


def _counted(view: View) -> tuple[int, int]:
    """How many objects are defined in the file's text, and how many its tables say are in use."""
    defined = in_use = 0
    for place in range(0, view.size, _PIECE):
        data = read_at(view, place, _PIECE + _OVERLAP)
        defined += sum(found.start() < _PIECE for found in _DEFINED.finditer(data))
        in_use += sum(found.start() < _PIECE for found in _IN_USE.finditer(data))
    return defined, in_use


def _said(document: pikepdf.Pdf) -> list[str]:
    return [str(said) for said in document.get_warnings()]


def _is_one_of(known: tuple[str, ...], said: str) -> bool:
    return any(word in said for word in known)
