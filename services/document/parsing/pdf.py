"""PDFs: opened as they are told to be read, or repaired where the repair loses nothing; then every part is counted.

Decision 8 says what is taken, what is refused, and why.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import pikepdf
import pikepdf.settings

from services.document.parsing import pdfactive, pdfcircles, pdfholes, pdfrepair
from services.document.parsing.budget import Budget
from services.document.parsing.errors import Reason, Unreadable
from services.document.parsing.pdffilters import filters_of, inflated, undone
from services.document.parsing.pdfimages import check as check_picture
from services.document.parsing.pdfimages import check_inline
from services.document.parsing.pdfview import View, end_of, first_line_at
from services.document.parsing.seekable import Seekable, read_at

MOST_PAGES = 5_000
MOST_OBJECTS = 500_000
_MOST_DECODED = 32 * 1024 * 1024  # bytes of one stream that qpdf unpacks: a table of objects, mostly
_MOST_CONTENT = 64 * 1024 * 1024  # bytes of one page's drawing instructions
_MOST_UNPACKED = 1024 * 1024 * 1024  # bytes of all streams that are unpacked and not pictures
_MOST_INLINE = 8 * 1024 * 1024  # bytes of instructions in which pictures are looked for
_LINEARIZED_SLACK = 64  # bytes of line ends and padding that mail programs take from the end
MOST_PASSWORD_BYTES = 127  # of a PDF's own (ISO 32000-2, 7.6.4.3)
_NOT_PAGES = ("/EmbeddedFile", "/Metadata", "/ObjStm", "/XRef")

# qpdf's limits hold for the whole process, and are to be set before its threads begin.
pikepdf.settings.set_qpdf_limits(
    flate_max_memory=_MOST_DECODED,
    png_max_memory=_MOST_DECODED,
    run_length_max_memory=_MOST_DECODED,
    tiff_max_memory=_MOST_DECODED,
    parser_max_container_size=MOST_OBJECTS,
    max_stream_filters=8,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A whole PDF. end: place behind it in the file. locked: it took a password to open it."""

    pages: int
    end: int
    locked: bool
    warnings: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Opened:
    document: pikepdf.Pdf
    view: View
    locked: bool


def check(source: Seekable, budget: Budget, *, password: str | None) -> Found:
    """What the PDF is, once every object and every row of every picture was found. Raises Unreadable."""
    start = first_line_at(read_at(source, 0, 1024 + 8)) or 0
    end = end_of(source, start)
    opened = _opened(source, start, end, password)
    with opened.document as document:
        said = int(cast(Any, document.Root).Pages.get("/Count", 0))  # before qpdf mends it
        warnings = _check_objects(document, opened.view, budget)
        pdfholes.require_none_drawn(document, opened.view)
        pdfcircles.require_none_drawn(document)
        pages = _check_pages(document, budget)
        if said > pages:
            raise Unreadable(Reason.BROKEN)
        pdfrepair.require_harmless(document)
    return Found(pages=pages, end=end, locked=opened.locked, warnings=frozenset(warnings))


def unlock(source: Seekable, password: str, out: BinaryIO) -> None:
    """Write the PDF to `out` as it is without its password; its streams stay as they are. Raises Unreadable."""
    start = first_line_at(read_at(source, 0, 1024 + 8)) or 0
    with _opened(source, start, end_of(source, start), password).document as document:
        document.save(
            out,
            encryption=False,
            compress_streams=False,
            stream_decode_level=pikepdf.StreamDecodeLevel.none,
            fix_metadata_version=False,
        )


def _opened(source: Seekable, start: int, end: int, password: str | None) -> _Opened:
    """The PDF, its table of objects read as it stands, or made anew where that loses nothing.

    Places in the table are counted from the first line. Where something stands before it, some writers count from
    the file's beginning.
    """
    views = [View(source, start, end)]
    if start:
        views.append(View(source, start, end, from_file=True))
    for view in views:
        with suppress(pikepdf.PdfError, pdfrepair.Repairable):
            opened = _with_password(view, password, recover=False)
            with _closed_on_error(opened.document):
                pdfrepair.require_sound_table(opened.document)
            return opened
    try:
        opened = _with_password(views[0], password, recover=True)
    except pikepdf.PdfError as error:
        raise Unreadable(Reason.UNKNOWN_LOCK if pdfrepair.is_about_locks(error) else Reason.BROKEN) from None
    with _closed_on_error(opened.document):
        pdfrepair.require_complete(opened.document, views[0])
    return opened


def _with_password(view: View, password: str | None, *, recover: bool) -> _Opened:
    """Open without a password, which an owner's password alone doesn't hinder, and else with this one."""
    with suppress(pikepdf.PasswordError):
        return _Opened(_open(view, b"", recover=recover), view, False)
    if password is None:
        raise Unreadable(Reason.NEEDS_PASSWORD)
    for spelled in _spellings(password):
        with suppress(pikepdf.PasswordError):
            return _Opened(_open(view, spelled, recover=recover), view, True)
    raise Unreadable(Reason.WRONG_PASSWORD)


def _open(view: View, password: bytes, *, recover: bool) -> pikepdf.Pdf:
    view.seek(0)
    return pikepdf.open(
        cast(io.BytesIO, view),
        password=password,
        attempt_recovery=recover,
        suppress_warnings=True,
        inherit_page_attributes=False,
        access_mode=pikepdf.AccessMode.stream,
    )


def _spellings(password: str) -> list[bytes]:
    """The bytes that programs make of a password: each era of PDF has its own, and not all keep to it."""
    texts = dict.fromkeys(unicodedata.normalize(form, password) for form in ("NFKC", "NFC", "NFD"))
    spelled: dict[bytes, None] = {}
    for encoding in ("utf-8", "pdfdoc", "latin-1", "cp1252", "mac-roman", "cp850"):
        for text in texts:
            with suppress(UnicodeEncodeError):
                spelled[text.encode(encoding)] = None
    return [one for one in spelled if len(one) <= MOST_PASSWORD_BYTES]


class _closed_on_error:
    def __init__(self, document: pikepdf.Pdf) -> None:
        self._document = document

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._document.close()


def _check_objects(document: pikepdf.Pdf, view: View, budget: Budget) -> set[str]:
    """Every stream is whole, and every picture has its rows. What active content there is."""
    warnings: set[str] = set()
    unpacked = 0
    if len(document.objects) > MOST_OBJECTS:
        raise Unreadable(Reason.TOO_MUCH)
    for thing in document.objects:
        warnings |= pdfactive.found_in(thing)
        if isinstance(thing, pikepdf.Stream):
            if thing.get("/Subtype") == pikepdf.Name.Image:
                check_picture(document, thing, budget)
            elif str(thing.get("/Type")) not in _NOT_PAGES:
                unpacked += _check_stream(thing)
                if unpacked > _MOST_UNPACKED:
                    raise Unreadable(Reason.TOO_MUCH)
        # The first object of a file made for the web says how long the file is. Such a file can end early
        # and have an end mark all the same: that of its first page's table.
        elif (
            isinstance(thing, pikepdf.Dictionary)
            and "/Linearized" in thing
            and int(thing.get("/L", 0)) > view.size + _LINEARIZED_SLACK
        ):
            raise Unreadable(Reason.BROKEN)
    return warnings


def _check_stream(stream: Any) -> int:
    """The bytes that the stream unpacks to, once it is whole. Others than those packed by Flate have no end to miss."""
    filters = filters_of(stream.stream_dict)
    if [name for name, _ in filters] != ["FlateDecode"]:
        return 0
    size = 0
    for piece in inflated(stream.read_raw_bytes()):
        size += len(piece)
        if size > _MOST_CONTENT:
            raise Unreadable(Reason.TOO_MUCH)
    return size


def _check_pages(document: pikepdf.Pdf, budget: Budget) -> int:
    pages = len(document.pages)
    if pages == 0:
        raise Unreadable(Reason.NO_PAGES)
    if pages > MOST_PAGES:
        raise Unreadable(Reason.TOO_MUCH)
    looked_at: set[tuple[int, int]] = set()
    for page in document.pages:
        for drawn in _drawn(page.obj, looked_at):
            content = undone(document, drawn.read_raw_bytes(), filters_of(drawn.stream_dict), _MOST_CONTENT)
            if b"BI" in content and len(content) <= _MOST_INLINE:
                check_inline(document, drawn, budget)
    return pages


def _contents(page: pikepdf.Object) -> Iterator[Any]:
    """The streams that draw a page. An empty page has none; one that is named but isn't there is a hole."""
    contents = page.get("/Contents")
    if contents is None:
        return
    for part in contents if isinstance(contents, pikepdf.Array) else [contents]:
        if not isinstance(part, pikepdf.Stream):
            raise Unreadable(Reason.BROKEN)
        yield part


def _drawn(page: pikepdf.Object, met: set[tuple[int, int]]) -> Iterator[Any]:
    """The streams that draw a page: its own, and the forms and patterns that they use; each once."""
    yield from (part for part in _contents(page) if _is_new(part, met))
    waiting: list[Any] = [page]
    while waiting:
        resources = waiting.pop().get("/Resources")
        if not isinstance(resources, pikepdf.Dictionary):
            continue
        for thing in _used(resources):
            if thing.get("/Subtype") != pikepdf.Name.Image and _is_new(thing, met):
                yield thing
                waiting.append(thing)


def _is_new(stream: Any, met: set[tuple[int, int]]) -> bool:
    new = stream.objgen not in met
    met.add(stream.objgen)
    return new


def _used(resources: Any) -> Iterator[Any]:
    """The pictures, forms and patterns among resources."""
    for kind in ("/XObject", "/Pattern"):
        named = resources.get(kind)
        for name in named.keys() if isinstance(named, pikepdf.Dictionary) else ():
            thing = named.get(name)
            if isinstance(thing, pikepdf.Stream):
                yield thing
