"""What a file is, by its content and never by its name, whether it is whole, and how many pages it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from services.document.parsing import (
    archive,
    email_message,
    jpeg,
    office,
    old_office,
    pdf,
    photos,
    png,
    text,
    tiffpages,
)
from services.document.parsing.budget import Budget
from services.document.parsing.endings import archive_behind
from services.document.parsing.errors import Reason, Unreadable
from services.document.parsing.foreign import reading
from services.document.parsing.inspection import Inspection
from services.document.parsing.media_types import EMAIL, JPEG, PDF, PNG, TEXT, TIFF
from services.document.parsing.pdfview import HEAD, first_line_at
from services.document.parsing.seekable import Seekable, read_at, read_whole

#: Files of other kinds, which may have a PDF in their first bytes.
_OTHERS = (b"PK\x03\x04", b"PK\x05\x06", b"Rar!", b"7z\xbc\xaf", b"MZ", b"\x7fELF", b"\xd0\xcf\x11\xe0")


def inspect(source: Seekable, *, password: str | None = None) -> Inspection:
    """Open the file whole and say what it is. password: for a PDF that is locked; others open without.

    Raises UnsupportedType when it is of none of the kinds that are kept, UnsupportedPicture when it is a picture that
    can't be read here, and Unreadable (with the reason) when it is empty, locked, cut, damaged, without pages or too
    much to open.
    """
    with reading():
        return _inspected(source, password)


def _inspected(source: Seekable, password: str | None) -> Inspection:
    if source.size == 0:
        raise Unreadable(Reason.EMPTY)
    head = read_at(source, 0, HEAD + 8)
    for magics, look in _LOOKS:
        if head.startswith(magics):
            return look(source)
    if head.startswith(b"%PDF-"):
        return _pdf(source, password)
    if photos.is_heif(head) or photos.is_webp(head):
        check = photos.check_heif if photos.is_heif(head) else photos.check_webp
        media_type, warnings = check(source)
        return Inspection(media_type=media_type, pages=1, warnings=warnings)
    if head.startswith(archive.MAGIC):
        media_type, warnings = office.check(source)
        return Inspection(media_type=media_type, pages=None, warnings=warnings)
    if head.startswith(old_office.MAGIC):
        old_office.refuse(source)
    return _words(source, head, password)


def unlock(source: Seekable, password: str, out: BinaryIO) -> None:
    """Write a locked PDF to `out` as it is without its password. Raises Unreadable."""
    with reading():
        pdf.unlock(source, password, out)


def _words(source: Seekable, head: bytes, password: str | None) -> Inspection:
    """What begins with no fixed bytes: an email, a PDF behind something else, a text."""
    if email_message.begins_as_email(source):
        return Inspection(media_type=EMAIL, pages=None, attachments=email_message.attachments(source))
    if first_line_at(head) is not None and not head.startswith(_OTHERS):
        return _pdf(source, password)
    text.check(source)
    return Inspection(media_type=TEXT, pages=None)


def _pdf(source: Seekable, password: str | None) -> Inspection:
    found = pdf.check(source, Budget(), password=password)
    warnings = {*found.warnings, *archive_behind(source, found.end)}
    return Inspection(media_type=PDF, pages=found.pages, warnings=tuple(sorted(warnings)), locked=found.locked)


def _jpeg(source: Seekable) -> Inspection:
    # What phones add behind the end mark (a second view, a film) is kept with the file, and not looked at.
    _, _, end = jpeg.check(read_whole(source), Budget())
    return Inspection(media_type=JPEG, pages=1, warnings=archive_behind(source, end))


def _png(source: Seekable) -> Inspection:
    end = png.check(source, Budget())
    return Inspection(media_type=PNG, pages=1, warnings=archive_behind(source, end))


def _tiff(source: Seekable) -> Inspection:
    pages = tiffpages.count_pages(source, Budget())
    return Inspection(media_type=TIFF, pages=pages, warnings=archive_behind(source, source.size))


_LOOKS: tuple[tuple[tuple[bytes, ...], Callable[[Seekable], Inspection]], ...] = (
    ((jpeg.START,), _jpeg),
    ((png.SIGNATURE,), _png),
    ((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"), _tiff),  # the last two are BigTIFF
)
