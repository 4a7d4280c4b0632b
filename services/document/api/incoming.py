"""A document's bytes on their way in: the request's body, and the form in it."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import marshmallow as ma
from flask import request

from services.document.actions.incoming import Details
from services.document.schemas import FIELDS, MOST_PASSWORD_BYTES, PASSWORD, DocumentFields
from services.document.upload.errors import FileTooLarge
from services.document.upload.form import Form, Limits, read_form
from services.document.upload.readable import CHUNK
from shared.errors import Invalid
from shared.http import BodyReader, body_reader, claim_upload
from shared.http.body import clean_text
from shared.http.problems import field_errors

# What a form needs beside its file: boundaries, headers and a few fields.
_ENVELOPE_BYTES = 1024 * 1024
_DOESNT_FIT = "What was sent doesn't fit the contract. Nothing was stored."


class IncomingForm:
    """The form of the request being answered, for `actions.documents.file_document`."""

    takes_password = True

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._socket = request.environ.get("gunicorn.socket")

    def open(self) -> Form:
        """The body read up to its file. One whose told length is over the limit is refused unread."""
        body = whole_body(self._limit + _ENVELOPE_BYTES, limit=self._limit)
        limits = Limits(file_bytes=self._limit)
        return read_form(body, request.headers.get("Content-Type", ""), allowed=FIELDS, limits=limits)

    def early_details(self, fields: Mapping[str, str]) -> Details | None:
        """What came before the file, refused at once where it is wrong; None while kind or source is missing."""
        loaded = _load(fields, partial=True)
        return _details(loaded) if {"kind", "source"} <= loaded.keys() else None

    def details(self, fields: Mapping[str, str]) -> Details:
        return _details(_load(fields, partial=False))

    def password(self, fields: Mapping[str, str]) -> str | None:
        """What opens the file, if it was sent. Raises Invalid where it is longer than a PDF's can be."""
        password = fields.get(PASSWORD) or None
        if password is not None and len(password.encode()) > MOST_PASSWORD_BYTES:
            raise Invalid(_DOESNT_FIT, errors={PASSWORD: [f"A password has at most {MOST_PASSWORD_BYTES} bytes."]})
        return password

    def claim(self, fields: Mapping[str, str], sha256: str) -> None:
        claim_upload(_identity(fields, sha256))

    def stop_reading(self) -> None:
        stop_reading(self._socket)

    @property
    def caller(self) -> int | None:
        return caller_of(self._socket)

    def read_without_keeping(self) -> bytes:
        """What identifies this upload: for one whose key already has an answer."""
        form = self.open()
        digest = hashlib.sha256()
        while piece := form.file.read(CHUNK):
            digest.update(piece)
        return _identity(form.finish(), digest.hexdigest())


def whole_body(most: int, *, limit: int) -> BodyReader:
    """The request's body. Raises FileTooLarge when it says it has more than `most` bytes."""
    body = body_reader()
    if body.length is not None and body.length > most:
        raise FileTooLarge(limit)
    return body


def stop_reading(connection: socket.socket | None) -> None:
    """End the reading side of a connection, so that a read that waits on it returns. The answer can still be sent."""
    if connection is not None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RD)


def caller_of(connection: socket.socket | None) -> int | None:
    """The connection's descriptor, by which one sees that the caller has gone."""
    return None if connection is None or connection.fileno() < 0 else connection.fileno()


def _load(fields: Mapping[str, str], *, partial: bool) -> dict[str, Any]:
    cleaned = {name: clean_text(text, name) for name, text in fields.items() if name != PASSWORD}
    try:
        loaded: dict[str, Any] = DocumentFields().load(cleaned, partial=partial)
    except ma.ValidationError as error:
        raise Invalid(_DOESNT_FIT, errors=field_errors(error.messages)) from None
    return loaded


def _details(loaded: Mapping[str, Any]) -> Details:
    return Details(
        kind=loaded["kind"],
        source=loaded["source"],
        title=loaded.get("title"),
        paper_file_id=loaded.get("paper_file_id"),
    )


def _identity(fields: Mapping[str, str], sha256: str) -> bytes:
    # Without the password, so that none can be guessed from what is kept of a request.
    named = {name: text for name, text in fields.items() if name != PASSWORD}
    return json.dumps([named, sha256], sort_keys=True, ensure_ascii=False).encode()
