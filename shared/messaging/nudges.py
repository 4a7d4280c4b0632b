"""Nudges: one process of a service tells the others that there is work, so that they need not poll for it.

A nudge is a row in a small capped collection. Readers wait at its end with a tailable cursor, which costs nothing, and
an insert reaches them at once. A nudge is only a hint: it isn't part of a transaction, the work is recorded elsewhere,
and a lost one costs the time until the next poll.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from pymongo import CursorType, WriteConcern
from pymongo.errors import CollectionInvalid, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from shared.clock import utc_now
from shared.db import Register
from shared.fields import Time
from shared.ids import new_id
from shared.ops.logs import log, where

_BYTES = 64 * 1024
# Shorter than the client waits for any answer.
_AWAIT_MS = 15_000
_AGAIN_SECONDS = 2.0
_EXISTS = 48


class Nudges:
    """One service's nudges; `give` from any process, `follow` in those that have something to do."""

    def __init__(self, register: Register, name: str) -> None:
        rows = register.keep(
            name,
            clear={"at": Time()},
            retention=None,
            why="the time of a hint from one process to the others; MongoDB drops the oldest by itself",
        ).rows
        # Written without waiting for the journal, or for the server's answer.
        self._rows = rows.with_options(write_concern=WriteConcern(w=0), read_concern=ReadConcern("local"))
        self._made = False

    def give(self) -> None:
        """Nudge; never raises for the database."""
        try:
            self._make()
            self._rows.insert_one({"_id": new_id(), "at": utc_now()})
        except PyMongoError as error:
            log.info("nudges.not_given", **where(error))

    def follow(self, heard: Callable[[], None], stopping: threading.Event) -> None:
        """Call `heard` at each nudge, and once whenever some may have been missed, until `stopping` is set."""
        while not stopping.is_set():
            try:
                self._make()
                self._rows.insert_one({"_id": new_id(), "at": utc_now()})  # a cursor can't wait in an empty collection
                nudges = self._rows.find(cursor_type=CursorType.TAILABLE_AWAIT).max_await_time_ms(_AWAIT_MS)
                while nudges.alive and not stopping.is_set():
                    for _ in nudges:
                        heard()
            except PyMongoError as error:
                if not stopping.is_set():
                    log.warning("nudges.not_followed", **where(error))
            stopping.wait(_AGAIN_SECONDS)

    def _make(self) -> None:
        if self._made:
            return
        with suppress(CollectionInvalid):
            try:
                self._rows.database.create_collection(self._rows.name, capped=True, size=_BYTES)
            except OperationFailure as error:
                if error.code != _EXISTS:
                    raise
        self._made = True
