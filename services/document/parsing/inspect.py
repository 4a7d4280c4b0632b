"""What a file is, by its content and never by its name, and how many pages it has."""

from __future__ import annotations

from services.document.parsing import pdf, pictures
from services.document.parsing.errors import Reason, Unreadable, UnsupportedType
from services.document.parsing.inspection import Inspection
from services.document.parsing.source import Source

_KINDS = (
    (b"%PDF-", "application/pdf", pdf.count_pages),
    (b"\xff\xd8\xff", "image/jpeg", pictures.check_jpeg),
    (b"\x89PNG\r\n\x1a\n", "image/png", pictures.check_png),
    (b"II*\x00", "image/tiff", pictures.count_tiff_pages),
    (b"MM\x00*", "image/tiff", pictures.count_tiff_pages),
    (b"II+\x00", "image/tiff", pictures.count_tiff_pages),  # BigTIFF
    (b"MM\x00+", "image/tiff", pictures.count_tiff_pages),
)


def inspect(source: Source) -> Inspection:
    """Open the file whole and say what it is.

    Raises UnsupportedType when its first bytes are of none of the kinds that are kept, and Unreadable (with the
    reason) when it is empty, locked, cut, damaged, without pages or too much to open.
    """
    if source.size == 0:
        raise Unreadable(Reason.EMPTY)
    source.seek(0)
    head = source.read(16) or b""
    for magic, media_type, pages in _KINDS:
        if head.startswith(magic):
            return Inspection(media_type=media_type, pages=pages(source))
    raise UnsupportedType
