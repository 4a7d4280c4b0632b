"""PDFs, opened without recovery: a repaired half of a file is not the file (ISO 32000-2)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import cast

import pikepdf
import pikepdf.settings

from services.document.parsing.errors import Reason, Unreadable
from services.document.parsing.foreign import reading
from services.document.parsing.source import Source

MOST_PAGES = 5_000
MOST_OBJECTS = 500_000
_MOST_DECODED = 32 * 1024 * 1024  # bytes of one stream: a deflated page of blanks can be a thousand times its size
_MOST_CONTENT = 256 * 1024 * 1024  # bytes of all pages' drawing instructions
_TAIL = 1024  # bytes from the end in which the end mark stands
_BLANKS = b"\0\t\n\f\r \x1a"  # PDF's own, and the end mark of old systems

# qpdf's limits hold for the whole process, and are to be set before its threads begin.
pikepdf.settings.set_qpdf_limits(
    flate_max_memory=_MOST_DECODED,
    png_max_memory=_MOST_DECODED,
    run_length_max_memory=_MOST_DECODED,
    tiff_max_memory=_MOST_DECODED,
    parser_max_container_size=MOST_OBJECTS,
    max_stream_filters=8,
)


def count_pages(spool: Source) -> int:
    """How many pages the PDF has, once every object of it was found where its own table says. Raises Unreadable."""
    with reading():
        _check_end(spool)
        with _opened(spool) as document:
            # With an owner's password only it opens without one, and is encrypted all the same.
            if document.is_encrypted:
                raise Unreadable(Reason.LOCKED)
            _check_objects(document, spool.size)
            return _check_pages(document)


def _opened(spool: Source) -> pikepdf.Pdf:
    spool.seek(0)
    try:
        return pikepdf.open(
            cast(io.BytesIO, spool),
            attempt_recovery=False,
            suppress_warnings=True,
            inherit_page_attributes=False,
            access_mode=pikepdf.AccessMode.stream,
        )
    except pikepdf.PasswordError:
        raise Unreadable(Reason.LOCKED) from None


def _check_end(spool: Source) -> None:
    """The end mark is there, whole, with nothing but blanks behind it.

    qpdf does without the mark, and takes an earlier one when a file was cut within what was appended to it.
    """
    spool.seek(max(0, spool.size - _TAIL))
    if not spool.read(_TAIL).rstrip(_BLANKS).endswith(b"%%EOF"):
        raise Unreadable(Reason.BROKEN)


def _check_objects(document: pikepdf.Pdf, size: int) -> None:
    """Every object in the table is whole, each stream to its end mark, without a warning."""
    if document.get_warnings():  # among them: a size that isn't the table's own
        raise Unreadable(Reason.BROKEN)
    if int(document.trailer.Size) > MOST_OBJECTS:
        raise Unreadable(Reason.TOO_MUCH)
    for thing in document.objects:
        # The first object of a file made for the web says how long the file is. Such a file can end early
        # and have an end mark all the same: that of its first page's table.
        if isinstance(thing, pikepdf.Dictionary) and "/Linearized" in thing and int(thing.L) > size:
            raise Unreadable(Reason.BROKEN)
    if document.get_warnings():
        raise Unreadable(Reason.BROKEN)


def _check_pages(document: pikepdf.Pdf) -> int:
    pages = len(document.pages)
    if pages == 0:
        raise Unreadable(Reason.NO_PAGES)
    if pages > MOST_PAGES:
        raise Unreadable(Reason.TOO_MUCH)
    if int(document.Root.Pages.Count) != pages:
        raise Unreadable(Reason.BROKEN)
    decoded = 0
    for page in document.pages:
        for content in _contents(page.obj):
            decoded += len(content.read_bytes())
            if decoded > _MOST_CONTENT:
                raise Unreadable(Reason.TOO_MUCH)
    if document.get_warnings():
        raise Unreadable(Reason.BROKEN)
    return pages


def _contents(page: pikepdf.Object) -> Iterator[pikepdf.Stream]:
    """The streams that draw a page. An empty page has none; one that is named but isn't there is a hole."""
    contents = page.get("/Contents")
    if contents is None:
        return
    for part in contents if isinstance(contents, pikepdf.Array) else [contents]:
        if not isinstance(part, pikepdf.Stream):
            raise Unreadable(Reason.BROKEN)
        yield part
