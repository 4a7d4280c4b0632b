"""A strip on its own, read by libtiff: the smallest TIFF around it, so that what it was part of doesn't matter."""

from __future__ import annotations

import io
import struct

from PIL import Image

RAW, LZW, PACKBITS, GROUP_4 = 1, 5, 32773, 4
_ENTRIES = 9
_DATA_AT = 8 + 2 + 12 * _ENTRIES + 4


def decoded(data: bytes, width: int, rows: int, compression: int) -> bytes | None:
    """`rows` rows as bytes, of `width` pixels with one bit (fax) or 8 bits; None where libtiff can't or misses some."""
    bits = 1 if compression == GROUP_4 else 8
    fields = {256: width, 257: rows, 258: bits, 259: compression, 262: int(bits == 8), 273: _DATA_AT}
    fields |= {277: 1, 278: rows, 279: len(data)}
    head = struct.pack("<2sHIH", b"II", 42, 8, len(fields))
    head += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items()) + bytes(4)
    try:
        with Image.open(io.BytesIO(head + data), formats=("TIFF",)) as picture:
            return picture.tobytes()
    except (OSError, SyntaxError, ValueError):
        return None
