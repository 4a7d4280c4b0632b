"""A document's bytes: whole, in part, of an older version; and a new version of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from flask import Response, request

from services.document import schemas
from services.document.actions import documents as actions
from services.document.api.callers import READERS, WRITERS
from services.document.api.described import described
from services.document.api.documents import shown
from services.document.api.incoming import hang_up, intake_told, whole_body
from services.document.intake.ahead import ReadAhead
from services.document.intake.crypt import read_range
from services.document.intake.readable import Readable
from services.document.model.documents import ByteRange, Document, OutOfRange, Version, byte_range
from services.document.store.files import OpenFile
from services.document.store.stores import Stores
from shared.errors import Problem
from shared.http import Blueprint, Inward, allow, audit_case, check_if_match, etag_of, ok

# Pieces of 128 kB: a megabyte at most is ready before it is sent. What is no longer than a few isn't worth a thread.
_AHEAD = 8
_SHORT_BYTES = 512 * 1024
_OUTSIDE = "The range asked for lies outside the file."


class _RangeNotSatisfiable(Problem):
    name: ClassVar[str] = "range-not-satisfiable"
    status: ClassVar[int] = 416
    title: ClassVar[str] = "There is no such part of it"

    def __init__(self, size: int) -> None:
        super().__init__(_OUTSIDE)
        self.headers = {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"}  # type: ignore[misc]


class Download:
    """The answer's body, decrypted as it is sent. Whoever sends it closes it, however far it came."""

    def __init__(self, file: OpenFile, wanted: ByteRange) -> None:
        self._pieces: Iterator[bytes] = read_range(file, wanted.start, wanted.length)
        self._close = file.close
        if wanted.length > _SHORT_BYTES:
            # The thread goes on while the audit is written, and while the caller takes what was sent.
            self._pieces = ahead = ReadAhead(self._pieces, most=_AHEAD, done=file.close)
            self._close = ahead.close
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
        self._close()


def content_routes(stores: Stores) -> Blueprint:
    blp = Blueprint("content", description="The bytes of documents.")

    @blp.route("/documents/<document_id>/content")
    @allow(*READERS)
    @blp.arguments(schemas.ContentQuery, location="query")
    @described(blp, responses={"200": {"content": {"application/octet-stream": {}}}, "206": {"description": "A part"}})
    def read_content(query: Mapping[str, Any], document_id: str) -> Response:
        """The bytes of the newest version, or of the one asked for. One range of bytes is served."""
        document = actions.living(stores, document_id)
        audit_case(document.case_id)
        version = actions.version_to_read(stores, document, number=query["version"])
        return _sent(stores, version, _etag(document, version))

    @blp.route("/documents/<document_id>/content", methods=["PUT"])
    @allow(*WRITERS, inward=Inward.YES)
    @described(blp, requestBody={"required": True, "content": {"application/octet-stream": {}}})
    @blp.response(200, schemas.DocumentOut)
    def replace_content(document_id: str) -> Response:
        """Add these bytes as a new version; older ones stay readable."""
        audit_case(actions.living(stores, document_id).case_id)
        connection = request.environ.get("gunicorn.socket")

        def body() -> Readable:
            return whole_body(stores.upload_limit, limit=stores.upload_limit)

        with intake_told():
            document = actions.add_version(
                stores,
                document_id=document_id,
                check=lambda found: check_if_match(found.etag),
                body=body,
                hang_up=lambda: hang_up(connection),
            )
        return ok(shown(document), etag=document.etag).response()

    return blp


def _etag(document: Document, version: Version) -> str:
    """The newest version's is the document's, so that it serves for If-Match too."""
    return etag_of(document.etag if version.number == document.number else f"v{version.number}")


def _sent(stores: Stores, version: Version, etag: str) -> Response:
    size = version.content.size
    try:
        part = _part_wanted(size, etag)
    except OutOfRange as error:
        raise _RangeNotSatisfiable(error.size) from None
    wanted = part or ByteRange(0, size)
    body: Any = ()
    if request.method != "HEAD":
        body = Download(actions.open_version(stores, version), wanted)
    answer = Response(body, status=200 if part is None else 206, content_type=version.content.media_type)
    answer.headers["Content-Length"] = str(wanted.length)
    answer.headers["Accept-Ranges"] = "bytes"
    answer.headers["ETag"] = etag
    # Never shown inside a page of ours, and under no name: a name would be somebody's.
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
