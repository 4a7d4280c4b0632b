"""How the bodies of an email's parts are written (RFC 2045, 6), undone piece by piece."""

from __future__ import annotations

import binascii
from collections.abc import Iterator

from services.document.parsing.errors import Reason, Unreadable

_BLANK = b" \t\r\n"
_MOST_UNBROKEN = 1024 * 1024  # bytes of one line of quoted-printable, which has 76 by right


def decoded(pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """The bytes that were written so; in an encoding that isn't known, as they are.

    Raises Unreadable where some of them are lost.
    """
    if encoding == "base64":
        return _base64(pieces)
    if encoding == "quoted-printable":
        return _quoted_printable(pieces)
    return pieces


def _base64(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Letters outside the alphabet, and any behind the padding, mean that something was written into the file.

    That the padding is missing loses nothing: how many bytes the last letters stand for is known without it.
    """
    rest, ended = b"", False
    for piece in pieces:
        letters = rest + piece.translate(None, _BLANK)
        whole = len(letters) - len(letters) % 4
        letters, rest = letters[:whole], letters[whole:]
        if letters:
            if ended:
                raise Unreadable(Reason.BROKEN)
            ended = letters.endswith(b"=")
            yield _letters(letters)
    if rest:
        if ended or len(rest) == 1:
            raise Unreadable(Reason.BROKEN)
        yield _letters(rest.ljust(4, b"="))


def _letters(letters: bytes) -> bytes:
    try:
        return binascii.a2b_base64(letters, strict_mode=True)
    except binascii.Error:
        raise Unreadable(Reason.BROKEN) from None


def _quoted_printable(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Whole lines at a time: an escape never crosses the end of one."""
    rest = b""
    for piece in pieces:
        lines = rest + piece
        end = lines.rfind(b"\n") + 1
        lines, rest = lines[:end], lines[end:]
        if len(rest) > _MOST_UNBROKEN:
            raise Unreadable(Reason.TOO_MUCH)
        yield binascii.a2b_qp(lines)
    yield binascii.a2b_qp(rest)
