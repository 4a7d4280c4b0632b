"""The media types of the kinds that are kept, under which they are served again."""

from __future__ import annotations

from typing import Final

PDF: Final = "application/pdf"
JPEG: Final = "image/jpeg"
PNG: Final = "image/png"
TIFF: Final = "image/tiff"
HEIC: Final = "image/heic"
HEIF: Final = "image/heif"
WEBP: Final = "image/webp"
DOCX: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
DOCM: Final = "application/vnd.ms-word.document.macroEnabled.12"
XLSM: Final = "application/vnd.ms-excel.sheet.macroEnabled.12"
ODT: Final = "application/vnd.oasis.opendocument.text"
TEXT: Final = "text/plain"
EMAIL: Final = "message/rfc822"

#: The kinds that have pages, and those that have none: programs lay these out anew each time.
PAGED: Final = (PDF, JPEG, PNG, TIFF, HEIC, HEIF, WEBP)
UNPAGED: Final = (DOCX, XLSX, DOCM, XLSM, ODT, TEXT, EMAIL)
ALL: Final = (*PAGED, *UNPAGED)
