"""What a PDF's streams hold once their filters are undone, counted where it needn't be held (ISO 32000-2, 7.4)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import pikepdf

from services.document.parsing.errors import Reason, Unreadable

_SHORT = {"AHx": "ASCIIHexDecode", "A85": "ASCII85Decode", "LZW": "LZWDecode", "Fl": "FlateDecode"}
_SHORT |= {"RL": "RunLengthDecode", "CCF": "CCITTFaxDecode", "DCT": "DCTDecode"}
_BY_QPDF = frozenset(("ASCIIHexDecode", "ASCII85Decode", "LZWDecode", "RunLengthDecode"))
GENERAL = _BY_QPDF | {"FlateDecode"}
_PIECE = 1024 * 1024
_FLUSHED = b"\0\0\xff\xff"  # ends data that its writer never closed, but wrote whole
_WRAPPING = 2  # bytes before the packed data

Filters = list[tuple[str, Any]]


def filters_of(dictionary: Any) -> Filters:
    """The filters of a stream's dictionary with their parameters, in the order in which they are undone."""
    names = _listed(dictionary.get("/Filter", dictionary.get("/F")))
    parameters = _listed(dictionary.get("/DecodeParms", dictionary.get("/DP")))
    found: Filters = []
    for number, name in enumerate(names):
        given = parameters[number] if number < len(parameters) else None
        plain = str(name).removeprefix("/")
        found.append((_SHORT.get(plain, plain), given if isinstance(given, pikepdf.Dictionary) else None))
    return found


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, pikepdf.Array) else [value]


def undone(document: pikepdf.Pdf, data: bytes, filters: Filters, most: int) -> bytes:
    """The data with these general filters undone. Raises Unreadable: damaged, or more than `most` bytes."""
    for name, parameters in filters:
        if name == "FlateDecode":
            pieces, size = [], 0
            for piece in inflated(data):
                pieces.append(piece)
                size += len(piece)
                if size > most:
                    raise Unreadable(Reason.TOO_MUCH)
            data = b"".join(pieces)
            continue
        stream = pikepdf.Stream(document, data)
        stream.Filter = pikepdf.Name("/" + name)
        if parameters is not None:
            stream.DecodeParms = pikepdf.Dictionary(parameters)
        data = stream.read_bytes()
        if len(data) > most:
            raise Unreadable(Reason.TOO_MUCH)
    return data


def inflated(data: bytes, *, whole: bool = True) -> Iterator[bytes]:
    """What Flate data unpacks to, piece by piece; what is held doesn't grow.

    The checksum at its end isn't looked at: writers get it wrong or leave it out, and nothing is lost by that.
    whole: raises Unreadable where the data ends before its own end; else the pieces end there.
    """
    if not data.strip(b"\r\n"):
        return  # an empty page: there was nothing to pack
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
    packed = data[_WRAPPING:]
    try:
        while not unpacking.eof:
            piece = unpacking.decompress(packed, _PIECE)
            packed = unpacking.unconsumed_tail
            if not piece and not packed:
                break
            yield piece
    except zlib.error:
        if whole:
            raise Unreadable(Reason.BROKEN) from None
        return
    if whole and not unpacking.eof and not data.rstrip(b"\r\n").endswith(_FLUSHED):
        raise Unreadable(Reason.BROKEN)
