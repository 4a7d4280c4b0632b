"""What a file is, by its content and never by its name, and how many pages it has."""

from __future__ import annotations

from dataclasses import dataclass
from threading import BoundedSemaphore

from services.document.parsing import pdf, pictures
from services.document.parsing.errors import Reason, Unreadable, UnsupportedType
from services.document.upload.spool import Spool

# Opening a file may take some hundred MB for the worst one that is let through, so few are open at once.
_AT_ONCE = BoundedSemaphore(2)

_KINDS = (
    (b"%PDF-", "application/pdf", pdf.count_pages),
    (b"\xff\xd8\xff", "image/jpeg", pictures.check_jpeg),
    (b"\x89PNG\r\n\x1a\n", "image/png", pictures.check_png),
    (b"II*\x00", "image/tiff", pictures.count_tiff_pages),
    (b"MM\x00*", "image/tiff", pictures.count_tiff_pages),
    (b"II+\x00", "image/tiff", pictures.count_tiff_pages),  # BigTIFF
    (b"MM\x00+", "image/tiff", pictures.count_tiff_pages),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A file's media type and its number of pages; a picture that is not a TIFF has one."""

    media_type: str
    pages: int


def inspect(spool: Spool) -> Inspection:
    """Open the file whole and say what it is.

    Raises UnsupportedType when its first bytes are of none of the kinds that are kept, and Unreadable (with the
    reason) when it is empty, locked, cut, damaged, without pages or too much to open.
    """
    if spool.size == 0:
        raise Unreadable(Reason.EMPTY)
    spool.seek(0)
    head = spool.read(16) or b""
    for magic, media_type, pages in _KINDS:
        if head.startswith(magic):
            with _AT_ONCE:
                return Inspection(media_type=media_type, pages=pages(spool))
    raise UnsupportedType
