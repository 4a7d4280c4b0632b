"""Request bodies: read as a stream and never spooled. JSON is parsed strictly; an unread rest is dropped."""

from __future__ import annotations

import json
import math
import re
import socket
import time
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from flask import g, request
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]

from shared.errors import Invalid, TooLarge, UnsupportedMediaType
from shared.http.problems import field_errors

JSON_LIMIT_BYTES = 1024 * 1024
_PIECE_BYTES = 128 * 1024
# Enough for the largest upload and its envelope. A longer rest ends with its connection.
_DROP_LIMIT_BYTES = 256 * 1024 * 1024
_DROP_SECONDS = 30
# A thread that waits for one caller serves no other. A scan may stall on a poor line. A small body, or one that will
# only be dropped (also of a caller without a token), may not stall for long.
_STALL_SECONDS = 30
_JSON_STALL_SECONDS = 5
_DROP_STALL_SECONDS = 3
_JSON_SECONDS = 20
_DEEPEST = 20
_LARGEST_WHOLE = 2**53
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Control characters but for line breaks and tabs, NUL among them; and surrogates without their other half.
_UNTEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_UNTEXT_SENTENCE = "Leave out control characters; line breaks and tabs may stay."
_ENVIRON_KEY = "forgetmenot.body"

_CUT = "The body ended before it was whole. Nothing was stored; send it again."
_NOT_JSON = "The body must be one JSON object in UTF-8."


class Source(Protocol):
    def read(self, size: int, /) -> bytes: ...


class BodyReader:
    """A request's body, as bytes in order. Raises Invalid when it ends early or stalls."""

    def __init__(self, source: Source, *, length: int | None, sock: socket.socket | None) -> None:
        self._source = source
        self._left = length
        self._sock = sock
        self._ended = length == 0
        # How long a read may wait for the caller.
        self.stall_seconds: float = _STALL_SECONDS

    @property
    def length(self) -> int | None:
        """Bytes still to come where the caller said so; None when chunked."""
        return self._left

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; b"" at the end. Without a size, a piece of 128 kB at most."""
        size = _PIECE_BYTES if size is None or size < 0 else min(size, _PIECE_BYTES)
        if self._ended or size == 0:
            return b""
        if self._left is not None:
            size = min(size, self._left)
        piece = self._receive(size)
        if not piece:
            self._ended = True
            if self._left:
                raise Invalid(_CUT)
        elif self._left is not None:
            self._left -= len(piece)
            self._ended = self._left == 0
        return piece

    def pieces(self, *, limit: int, too_large: str, seconds: float = math.inf) -> Iterable[bytes]:
        """The body piece by piece. Raises TooLarge past `limit` bytes, before reading any where its length was told."""
        if self._left is not None and self._left > limit:
            raise TooLarge(too_large)
        deadline = time.monotonic() + seconds
        total = 0
        while piece := self.read():
            total += len(piece)
            if total > limit:
                raise TooLarge(too_large)
            if time.monotonic() > deadline:
                self._ended = True
                raise Invalid(_CUT)
            yield piece

    def drop_rest(self) -> None:
        """Read and drop the rest, so that the response reaches a caller that is still sending."""
        if self._left is not None and self._left > _DROP_LIMIT_BYTES:
            return
        self.stall_seconds = _DROP_STALL_SECONDS
        try:
            for _ in self.pieces(limit=_DROP_LIMIT_BYTES, too_large="", seconds=_DROP_SECONDS):
                pass
        except (Invalid, TooLarge):
            # The caller is gone, or doesn't stop sending: the server closes a connection with bytes left.
            self._ended = True

    def _receive(self, size: int) -> bytes:
        before = self._sock.gettimeout() if self._sock is not None else None
        try:
            if self._sock is not None:
                self._sock.settimeout(self.stall_seconds)
            return self._source.read(size)
        except (OSError, ParseException, ValueError) as error:
            self._ended = True
            raise Invalid(_CUT) from error
        finally:
            if self._sock is not None:
                self._sock.settimeout(before)


class DropsUnreadBodies:
    """WSGI middleware: the app reads the body through a BodyReader; the unread rest is dropped before the response."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        reader = BodyReader(environ["wsgi.input"], length=_length(environ), sock=environ.get("gunicorn.socket"))
        environ["wsgi.input"] = environ[_ENVIRON_KEY] = reader
        answer = self._app(environ, start_response)
        reader.drop_rest()
        return answer


def _length(environ: dict[str, Any]) -> int | None:
    if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        return None
    text = environ.get("CONTENT_LENGTH") or "0"
    return int(text) if text.isdecimal() else 0


def body_reader() -> BodyReader:
    """The body of the request being answered, for routes that stream it."""
    reader: BodyReader = request.environ[_ENVIRON_KEY]
    return reader


def json_body() -> dict[str, Any]:
    """The request's JSON object, read once. Raises UnsupportedMediaType, TooLarge or Invalid."""
    if "json_body" not in g:
        g.json_body = _read_json()
    body: dict[str, Any] = g.json_body
    return body


def _read_json() -> dict[str, Any]:
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype != "application/json" or charset not in ("utf-8", "utf8"):
        raise UnsupportedMediaType("Send JSON in UTF-8, with Content-Type: application/json.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send JSON as it is, without a Content-Encoding.")
    too_large = "A JSON body may have 1 MiB at most. Nothing was stored."
    reader = body_reader()
    reader.stall_seconds = _JSON_STALL_SECONDS
    pieces = reader.pieces(limit=JSON_LIMIT_BYTES, too_large=too_large, seconds=_JSON_SECONDS)
    return parse_object(b"".join(pieces))


def parse_object(raw: bytes) -> dict[str, Any]:
    """One JSON object with strict rules, its strings normalised to NFC. Raises Invalid, never with any of it.

    A byte order mark before it is passed over. Refused: invalid UTF-8, duplicate names, NaN and infinities, whole
    numbers past 2^53, lone surrogates, control characters but for line breaks and tabs, nesting past 20.
    """
    try:
        value = json.loads(
            raw.removeprefix(_BYTE_ORDER_MARK).decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_int=_whole,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise Invalid(_NOT_JSON) from error
    if not isinstance(value, dict):
        raise Invalid(_NOT_JSON)
    return {clean_text(name): _clean(item, (name,)) for name, item in value.items()}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise Invalid("The body names a field twice. Nothing was stored.")
    return made


def _no_constant(_: str) -> float:
    raise ValueError("not a JSON number")


def _whole(text: str) -> int:
    # Checked by length first: turning very many digits into a number is slow.
    if len(text) > 17 or abs(int(text)) > _LARGEST_WHOLE:
        raise Invalid("A whole number in the body is too large. Nothing was stored.")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number


def _clean(value: Any, path: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        return clean_text(value, *path)
    if len(path) > _DEEPEST:
        raise Invalid("The body is nested too deeply. Nothing was stored.")
    if isinstance(value, dict):
        return {clean_text(name, *path): _clean(item, (*path, name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_clean(item, (*path, str(number))) for number, item in enumerate(value)]
    return value


def clean_text(text: str, *path: str) -> str:
    """The text in NFC, each line break as one character.

    A vertical tab, which is Word's line break inside a paragraph, becomes a line separator: a field of one line makes a
    space of it, and any other a line break. Raises Invalid for control characters and lone surrogates, naming the field
    by its path: where the text stands.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\v", "\u2028")
    text = unicodedata.normalize("NFC", text)
    if _UNTEXT.search(text):
        wrong: Any = [_UNTEXT_SENTENCE]
        for name in reversed(path):
            wrong = {name: wrong}
        raise Invalid("A text that was sent holds a control character. Nothing was stored.", errors=field_errors(wrong))
    return text
