"""Restores of a service's databases: while one goes on, its processes answer nothing and do nothing.

The marker is a row of the service's own database. A restore writes it first and ends it last, so one that was killed
leaves the services closed, and is run again. A process that sees the marker ends, and is started again by whoever
started it: what it has in memory is of the data that there was before. Until the marker is gone an API then answers
503 to everything, and a worker waits.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from shared.db import KeptRows, Register
from shared.errors import Unavailable
from shared.fields import Digest, Optional, Time
from shared.ids import new_id
from shared.ops.logs import log, where

#: The store of restores, and what a process is called towards MongoDB while it only waits for the end of one.
RESTORES: Final = "restores"
WAITING_NAME: Final = "forgetmenot waiting"
_POLL_SECONDS: Final = 2.0
_RETRY_SECONDS: Final = "5"
_SENTENCE: Final = "A backup is being restored. Nothing was stored. Try again later."
_ALIVE: Final = "/livez"

Row = dict[str, Any]


class Restores:
    """The restores that one service has been through."""

    def __init__(self, database: Database[Row], read_concern: ReadConcern | None = None) -> None:
        self.rows: Collection[Row] = database.get_collection(RESTORES, read_concern=read_concern)

    def goes_on(self) -> bool:
        """Whether one goes on just now. Raises PyMongoError."""
        return self.rows.find_one({"done_at": None}, {"_id": 1}) is not None

    def last_at(self, session: ClientSession | None = None) -> datetime | None:
        """When the last one was done; None where there was none. What was asked for before that may have been done
        already, by the service that was lost.
        """
        last = self.rows.find_one({"done_at": {"$ne": None}}, sort=[("done_at", -1)], session=session)
        return None if last is None else last["done_at"]

    def last_seen_at(self, session: ClientSession) -> datetime | None:
        """The same as this server has it just now, whether or not the majority does."""
        return Restores(self.rows.database, ReadConcern("local")).last_at(session)

    def wait(self) -> None:
        """Wait until none goes on."""
        said = False
        while not self._is(False):
            if not said:
                log.info("restore.awaited")
                said = True
            time.sleep(_POLL_SECONDS)

    def call_once(self, goes_on: bool, act: Callable[[], None]) -> None:
        """Call `act`, on another thread, as soon as one goes on, or as soon as none does."""

        def look() -> None:
            while not self._is(goes_on):
                time.sleep(_POLL_SECONDS)
            log.info("restore.seen" if goes_on else "restore.over")
            act()

        threading.Thread(target=look, name="restores", daemon=True).start()

    def _is(self, goes_on: bool) -> bool:
        try:
            return self.goes_on() is goes_on
        except PyMongoError as error:
            log.info("restore.not_known", **where(error))
            return False


class RestoreGoesOn(Exception):
    """This service's databases are being restored just now. restores: tells when that is over."""

    def __init__(self, restores: Restores) -> None:
        super().__init__(_SENTENCE)
        self.restores = restores


def register_restores(register: Register) -> KeptRows:
    """Open the store, which the restore itself writes. archive: the digest of the data archive's name."""
    return register.keep(
        RESTORES,
        clear={"archive": Digest(), "began_at": Time(), "done_at": Optional(Time())},
        retention=None,
        why="while one goes on nothing else is done, and letters that were asked for before it wait for a person",
    )


def end_this_process() -> None:
    """End this process of gunicorn's, which then starts another in its place."""
    os.kill(os.getpid(), signal.SIGTERM)


def closed_app(environ: Row, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A WSGI app that answers 503, and that it lives."""
    if environ.get("PATH_INFO") == _ALIVE:
        return _answer(start_response, "200 OK", "application/json", {"status": "alive"})
    problem = Unavailable(_SENTENCE)
    said = {"type": f"urn:fmn:problem:{problem.name}", "title": problem.title, "status": 503, "detail": _SENTENCE}
    return _answer(start_response, "503 Service Unavailable", "application/problem+json", said)


def _answer(start_response: Callable[..., Any], status: str, kind: str, said: Row) -> Iterable[bytes]:
    body = json.dumps(said).encode()
    headers = {
        "Content-Type": kind,
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Request-Id": new_id(),
        "Retry-After": _RETRY_SECONDS,
    }
    start_response(status, list(headers.items()))
    return [body]
