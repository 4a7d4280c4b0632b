"""Nudges: one process of a service tells the others that there is work, so that they need not poll for it.

A nudge is a row in a small capped collection. Readers wait at its end with a tailable cursor, which costs nothing, and
an insert reaches them at once. A nudge is only a hint: it isn't part of a transaction, the work is recorded elsewhere,
and a lost one costs the time until the next poll.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from uuid import uuid4

from pymongo import CursorType, WriteConcern
from pymongo.errors import CollectionInvalid, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from shared.db import Register
from shared.ops.logs import log, where

# As many rows as a reader may fall behind. The collection is filled when it is made, and no row holds a time, so that
# its content never tells that a request was made (P8).
_ROWS = 64
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
            clear={},
            retention=None,
            why="a hint from one process to the others, a random id; MongoDB drops the oldest by itself",
        ).rows
        # Written without waiting for the journal, or for the server's answer.
        self._rows = rows.with_options(write_concern=WriteConcern(w=0), read_concern=ReadConcern("local"))
        self._made = False

    def give(self) -> None:
        """Nudge; never raises for the database."""
        try:
            self._make()
            self._rows.insert_one(_nudge())
        except PyMongoError as error:
            log.info("nudges.not_given", **where(error))

    def follow(self, heard: Callable[[], None], stopping: threading.Event) -> None:
        """Call `heard` at each nudge, and once whenever some may have been missed, until `stopping` is set."""
        while not stopping.is_set():
            try:
                # Looked for again each time: without its collection a cursor ends at once.
                self._made = False
                self._make()
                heard()
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
        try:
            self._rows.database.create_collection(self._rows.name, capped=True, size=_BYTES, max=_ROWS)
            # A cursor can't wait in an empty collection either.
            self._rows.insert_many([_nudge() for _ in range(_ROWS)])
        except CollectionInvalid:
            pass
        except OperationFailure as error:
            if error.code != _EXISTS:
                raise
        self._made = True


def _nudge() -> dict[str, str]:
    return {"_id": str(uuid4())}
