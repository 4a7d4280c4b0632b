"""A document's bytes: whole, in part, of an older version; and a new version of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flask import Response, request

from services.document import schemas
from services.document.actions import documents as actions
from services.document.actions import previews
from services.document.api.described import described
from services.document.api.documents import shown
from services.document.api.incoming import caller_of, stop_reading, whole_body
from services.document.context import Context
from services.document.model.documents import ByteRange, Document, Version, byte_range
from services.document.store import Stores
from services.document.store.files import OpenFile
from services.document.upload.crypt import read_range
from services.document.upload.readable import Readable
from shared.http import Blueprint, Inward, allow, audit_case, check_if_match, etag_of, ok
from shared.security.roles import CASE_READERS, CASEWORK


class Download:
    """The response's body, decrypted as it is sent. The server closes it, wherever the sending ended."""

    def __init__(self, file: OpenFile, wanted: ByteRange) -> None:
        self._file = file
        self._pieces = read_range(file, wanted.start, wanted.length)
        try:
            # The first piece before any header goes out: a damaged file is an error, not an answer that breaks off.
            self._first = next(self._pieces, b"")
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._first:
            piece, self._first = self._first, b""
            return piece
        return next(self._pieces)

    def close(self) -> None:
        self._file.close()


def content_routes(context: Context) -> Blueprint:
    stores = context.stores
    blp = Blueprint("content", description="The bytes of documents.")

    @blp.route("/documents/<document_id>/content")
    @allow(*CASE_READERS)
    @blp.arguments(schemas.ContentQuery, location="query")
    @described(blp, responses={"200": {"content": {"application/octet-stream": {}}}, "206": {"description": "A part"}})
    def read_content(query: Mapping[str, Any], document_id: str) -> Response:
        """The bytes of the newest version, or of the one asked for. One range of bytes is served.

        The `Content-Type` is the document's own. `Range` and `If-Range` are honoured.
        """
        document = actions.require_document(stores, document_id)
        audit_case(document.case_id)
        version = actions.version_to_read(stores, document, number=query["version"])
        return _sent(stores, version, _etag(document, version))

    @blp.route("/documents/<document_id>/preview")
    @allow(*CASE_READERS)
    @blp.arguments(schemas.PreviewQuery, location="query")
    @described(blp, responses={"200": {"content": {"image/png": {}}}})
    def preview_content(query: Mapping[str, Any], document_id: str) -> Response:
        """A page as a picture, made for this answer and kept nowhere."""
        document = actions.require_document(stores, document_id)
        audit_case(document.case_id)
        version = actions.version_to_read(stores, document, number=query["version"])
        caller = caller_of(request.environ.get("gunicorn.socket"))
        picture = previews.preview(context, version, page=query["page"], width=query["width"], caller=caller)
        return Response(picture, content_type="image/png")

    @blp.route("/documents/<document_id>/content", methods=["PUT"])
    @allow(*CASEWORK, inward=Inward.YES)
    @described(blp, requestBody={"required": True, "content": {"application/octet-stream": {}}})
    @blp.response(200, schemas.DocumentOut)
    def replace_content(document_id: str) -> Response:
        """Add these bytes as a new version; older ones stay readable."""
        audit_case(actions.require_document(stores, document_id).case_id)
        connection = request.environ.get("gunicorn.socket")

        def body() -> Readable:
            return whole_body(context.upload_limit, limit=context.upload_limit)

        document = actions.add_version(
            context,
            document_id=document_id,
            check=lambda found: check_if_match(found.version),
            body=body,
            stop_reading=lambda: stop_reading(connection),
            caller=caller_of(connection),
        )
        return ok(shown(stores, document), etag=document.version).response()

    return blp


def _etag(document: Document, version: Version) -> str:
    """The newest version's is the document's, so that it serves for If-Match too."""
    return etag_of(document.version if version.number == document.number else f"v{version.number}")


def _sent(stores: Stores, version: Version, etag: str) -> Response:
    size = version.size
    part = _part_wanted(size, etag)
    wanted = part or ByteRange(0, size)
    body: Any = ()
    if request.method != "HEAD":
        body = Download(actions.open_version(stores, version), wanted)
    answer = Response(body, status=200 if part is None else 206, content_type=version.media_type)
    answer.headers["Content-Length"] = str(wanted.length)
    answer.headers["Accept-Ranges"] = "bytes"
    answer.headers["ETag"] = etag
    # Never shown inside a page of this origin, and without a name: the name would be personal.
    answer.headers["Content-Disposition"] = "attachment"
    if part is not None:
        answer.headers["Content-Range"] = f"bytes {part.start}-{part.end}/{size}"
    return answer


def _part_wanted(size: int, etag: str) -> ByteRange | None:
    if request.method != "GET":
        return None
    condition = request.headers.get("If-Range")
    if condition is not None and condition.strip() != etag:
        return None
    return byte_range(request.headers.get("Range"), size)
