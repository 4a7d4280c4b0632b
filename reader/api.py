"""The reader's two paths: `POST /v1/readings` for the consent service alone, and `GET /readyz`."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from minio.error import MinioException
from pymongo.errors import PyMongoError
from urllib3.exceptions import HTTPError

from reader.reading import Asked, Reader
from shared.clock import utc_now
from shared.erasure.readings import MOST_AT_ONCE, READER
from shared.errors import Unauthorised
from shared.ids import is_id
from shared.ops.logs import log, where
from shared.security.authentication import service_caller
from shared.security.signing import PublicKeys

_CALLER: Final = "consent"
_LARGEST_BODY: Final = 256 * 1024
_DIGEST: Final = re.compile("[0-9a-f]{64}")
_AWAY: Final = (PyMongoError, MinioException, HTTPError, OSError)


class _Refused(Exception):
    """The request gets this status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    timeout = 10
    protocol_version = "HTTP/1.1"

    def __init__(self, reader: Reader, keys: PublicKeys, *args: Any) -> None:
        self._reader = reader
        self._keys = keys
        super().__init__(*args)

    def do_GET(self) -> None:
        self._respond(self._ready)

    def do_POST(self) -> None:
        self._respond(self._read)

    def _respond(self, act: Any) -> None:
        # A body that wasn't read would be taken for the next request.
        self.close_connection = True
        try:
            status, body = 200, act()
        except _Refused as error:
            status, body = error.status, {}
        except _AWAY as error:
            log.error("reader.server_away", **where(error))
            status, body = 503, {}
        except Exception as error:  # noqa: BLE001 - a line of ours in the log, not a traceback of the library's
            log.error("reader.failed", **where(error))
            status, body = 500, {}
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def _ready(self) -> dict[str, Any]:
        if self.path != "/readyz":
            raise _Refused(404)
        self._reader.check()
        return {"ready": True}

    def _read(self) -> dict[str, Any]:
        if self.path != "/v1/readings":
            raise _Refused(404)
        self._require_consent_service()
        reading, asked = self._asked()
        return {"readings": self._reader.read(reading, asked)}

    def _require_consent_service(self) -> None:
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        try:
            caller = service_caller(token if scheme.lower() == "bearer" else "", self._keys, READER, utc_now())
        except Unauthorised as error:
            raise _Refused(401) from error
        if caller.sub != _CALLER:
            raise _Refused(403)

    def _asked(self) -> tuple[str, list[Asked]]:
        length = self.headers.get("Content-Length") or ""
        if not length.isdigit() or int(length) > _LARGEST_BODY:
            raise _Refused(413)
        try:
            said = json.loads(self.rfile.read(int(length)))
            asked = [
                Asked(request=one["request"], case_id=one["case"], receipts_sha256=one["receipts_sha256"])
                for one in said["of"]
            ]
            reading = said["reading"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise _Refused(400) from error
        ids = [reading, *(id for one in asked for id in (one.request, one.case_id))]
        digests = [one.receipts_sha256 for one in asked]
        if not 1 <= len(asked) <= MOST_AT_ONCE or not all(map(is_id, ids)) or not all(map(_is_digest, digests)):
            raise _Refused(400)
        return reading, asked

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: what is read is logged by the reader."""


def _is_digest(said: object) -> bool:
    return isinstance(said, str) and _DIGEST.fullmatch(said) is not None


@contextmanager
def serving(reader: Reader, keys: PublicKeys, bind: tuple[str, int]) -> Iterator[None]:
    """Serve on this address, in threads, while the block runs."""
    with ThreadingHTTPServer(bind, partial(_Handler, reader, keys)) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, name="reader", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
