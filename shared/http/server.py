"""gunicorn as every service runs it: a request that is not valid HTTP gets a problem response that quotes none of it.

Started with `--worker-class shared.http.server.GunicornWorker --logger-class shared.ops.logs.GunicornLogger`.
"""

from __future__ import annotations

import json
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.http.errors import (  # type: ignore[import-untyped]
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)
from gunicorn.http.unreader import SocketUnreader  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from shared.errors import Invalid, Problem, TooLarge
from shared.ids import new_id
from shared.ops.logs import log, where

# gunicorn reads ahead up to a megabyte, and copies what it holds each time that a piece of it is asked for: with as
# much as one piece (shared/http/body.py) little is left to copy.
SocketUnreader.max_body_chunk = 128 * 1024


class _HeadersTooLarge(TooLarge):
    name, status, title = "headers-too-large", 431, "The request's line or headers are too large"


class GunicornWorker(ThreadWorker):  # type: ignore[misc]
    """The threaded worker. A request that never reaches the app is answered, and logged, without its text."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        if isinstance(exc, LimitRequestLine | LimitRequestHeaders):
            problem: Problem = _HeadersTooLarge("Send a shorter address, or fewer or shorter headers.")
        elif isinstance(exc, ParseException):
            problem = Invalid("The request can't be read as HTTP. Nothing was stored.")
        else:
            error_id = new_id()
            log.error("failed", error_id=error_id, **where(exc))
            problem = Problem(f"This is a fault of the service. Tell the operator its number, {error_id}.")
        try:
            util.write_nonblock(client, _raw(problem))
        except OSError as error:
            log.info("not-answered", **where(error))


def _raw(problem: Problem) -> bytes:
    body = json.dumps(
        {
            "type": f"urn:fmn:problem:{problem.name}",
            "title": problem.title,
            "status": problem.status,
            "detail": problem.detail,
        }
    ).encode()
    head = (
        f"HTTP/1.1 {problem.status} {problem.name}\r\nConnection: close\r\n"
        f"Content-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\r\n"
    )
    return head.encode("ascii") + body
