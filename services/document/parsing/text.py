"""Plain text: UTF-8, UTF-16 with its mark, or Windows-1252, and nothing in it that no one can read."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from services.document.parsing.errors import Other, Reason, Unreadable, UnsupportedType
from services.document.parsing.seekable import Seekable
from services.document.parsing.source import CHUNK

# Tab, line feed, form feed and carriage return alone: anything else below a space is of a binary file.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_END_OF_OLD_FILES = "\x1a"
_OUTSIDE_ASCII = bytes(range(0x80, 0x100))
_HEAD = 1024  # bytes in which a kind of its own shows

#: What is made of text and has a kind of its own: kept as plain text it would not be what was sent.
_NOT_PLAIN = (
    (re.compile(rb"\s*\{\\rtf"), Other.RTF),
    (re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype html|html|head|body|script|meta)\b", re.I | re.S), Other.WEB_PAGE),
    (re.compile(rb"\s*<(?:\?xml|svg)\b", re.IGNORECASE), None),
    (re.compile(rb"%!PS|.*%PDF-\d", re.S), None),
)


def check(source: Seekable) -> None:
    """Read the text to its end. Raises UnsupportedType where it is none, and Unreadable where it is cut."""
    source.seek(0)
    head = source.read(_HEAD) or b""
    for begins, other in _NOT_PLAIN:
        if begins.match(head):
            raise UnsupportedType(other)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            if not _reads_as(source, encoding, is_told=True):
                raise UnsupportedType
            return
    if not _reads_as(source, "utf-8") and not (_is_mostly_ascii(source) and _reads_as(source, "cp1252")):
        raise UnsupportedType


def _reads_as(source: Seekable, encoding: str, *, is_told: bool = False) -> bool:
    """Whether every byte of the file is of a character in that encoding.

    Raises UnsupportedType for characters that no text has, and Unreadable where it ends inside a character.
    is_told: the file says itself that this is its encoding. Else one whole character outside ASCII tells: bytes of
    Windows-1252 don't look like UTF-8 by chance.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for piece in _pieces(source):
            text = decoder.decode(piece)
            is_told = is_told or not text.isascii()
            _check_readable(text, is_last=source.tell() == source.size)
    except UnicodeDecodeError:
        return False
    try:
        decoder.decode(b"", True)
    except UnicodeDecodeError:
        if is_told:
            raise Unreadable(Reason.BROKEN) from None
        return False
    return True


def _check_readable(text: str, *, is_last: bool) -> None:
    found = _CONTROL.search(text)
    if found and not (is_last and text.rstrip(_END_OF_OLD_FILES)[found.start() :] == ""):
        raise UnsupportedType


def _is_mostly_ascii(source: Seekable) -> bool:
    """Whether it may be Windows-1252, in which almost any byte is a character: letters with accents are few."""
    others = sum(len(piece) - len(piece.translate(None, _OUTSIDE_ASCII)) for piece in _pieces(source))
    return others * 3 <= source.size


def _pieces(source: Seekable) -> Iterator[bytes]:
    source.seek(0)
    while piece := source.read(CHUNK):
        yield piece
