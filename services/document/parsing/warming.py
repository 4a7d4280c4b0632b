"""A small file of each kind, made or held in memory, for a process to try its libraries on before it reads others'."""

from __future__ import annotations

import codecs
import encodings
import io
import os
import pkgutil
import zipfile
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import pikepdf
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from PIL import Image

from services.document.parsing import media_types
from services.document.parsing.source import BLOCK, Source

PASSWORD: Final = "open"  # noqa: S105 - of a file that is made here
_WEBP = "WEBP"
_RELATIONS = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="1" '
    'Target="word/document.xml" '
    'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/></Relationships>'
)
_TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Override '
    f'PartName="/word/document.xml" ContentType="{media_types.DOCX}.main+xml"/></Types>'
)
_EMAIL = (
    "From: =?utf-8?q?Zo=C3=AB?= <a@example.org>\r\nDate: Mon, 30 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"
    'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nWords\r\n--b\r\n'
    "Content-Disposition: attachment; filename*=iso-8859-1''Zo%EB\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    "V29yZHM=\r\n--b--\r\n"
)
#: Made with pillow-heif: 16 by 16 white pixels. Encoding one would start threads.
_HEIC: Final = b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAXxtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9jAAAA"
    "AERAAAEAAQAAAAABoAABAAAAAAAAACIAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA/GlwcnAAAADc"
    "aXBjbwAAAHVodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQApQgEBA3AAAAMAkAAAAwAA"
    "AwAeoCCBBZbqrprm4CGgwIAAAAyAAAADAIRiAAEABkQBwXPBiQAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAAChjbGFw"
    "AAAAEAAAAAEAAAAQAAAAAf///9AAAAAC////0AAAAAIAAAAQcGl4aQAAAAADCAgIAAAAGGlwbWEAAAAAAAAAAQABBYECAwWEAAAAKm1kYXQAAAAe"
    "KAGvC0hJM4D1BFGbx3JM/FsQqinuB56YylSRX/Dg"
)


@contextmanager
def sealed(data: bytes) -> Iterator[Source]:
    """These bytes as a child gets them, in memory."""
    key, descriptor = os.urandom(32), os.memfd_create("sample")
    try:
        os.write(descriptor, Cipher(AES(key), CTR(bytes(BLOCK))).encryptor().update(data))
        yield Source(descriptor, key, len(data))
    finally:
        os.close(descriptor)


def samples() -> Iterator[tuple[str, bytes]]:
    """Each kind's media type with a file of it."""
    picture = Image.new("RGB", (32, 32), "white")
    for media_type, kind, options in (
        (media_types.JPEG, "JPEG", {}),
        (media_types.PNG, "PNG", {}),
        (media_types.TIFF, "TIFF", {"compression": "tiff_lzw"}),
        (media_types.WEBP, _WEBP, {}),
    ):
        held = io.BytesIO()
        picture.save(held, kind, **options)
        yield media_type, held.getvalue()
    document, held = pikepdf.new(), io.BytesIO()
    document.add_blank_page()
    document.save(held)
    yield media_types.PDF, held.getvalue()
    yield media_types.HEIC, _HEIC
    yield media_types.DOCX, _docx()
    yield media_types.EMAIL, _EMAIL.encode()
    yield media_types.TEXT, "Zoë".encode("utf-16")
    yield media_types.TEXT, "Zoë".encode("utf-8-sig")
    yield media_types.TEXT, "Zoë, Zoë".encode("cp1252")


def locked_pdf() -> bytes:
    """A PDF that opens with PASSWORD."""
    held, document = io.BytesIO(), pikepdf.new()
    document.add_blank_page()
    document.save(held, encryption=pikepdf.Encryption(user=PASSWORD, owner=PASSWORD))
    return held.getvalue()


def load_character_sets() -> None:
    """Every one that Python knows: an email may tell the name of an attachment in any."""
    for module in pkgutil.iter_modules(encodings.__path__):
        with suppress(LookupError):  # not an encoding, or not on this system
            codecs.lookup(module.name)


def _docx() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("[Content_Types].xml", _TYPES)
        parts.writestr("_rels/.rels", _RELATIONS)
        parts.writestr("word/document.xml", "<document/>")
    return held.getvalue()
