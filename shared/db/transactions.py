"""Transactions on MongoDB, all with the same concerns and the same patience."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import pymongo
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, DuplicateKeyError, ExecutionTimeout, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

T = TypeVar("T")

# Well under the time a caller waits; a server that is away becomes 503, not a hung request.
_TIMEOUT_SECONDS: Final = 8
_JOURNALED: Final = WriteConcern("majority", j=True)
# A transaction that has conflicted repeats while it holds this, so that those of one process don't undo one another:
# MongoDB lets the first writer win and none of them wait. Without it, seven writers of one case kept each other from
# committing for eight seconds.
_REPEATS: Final = threading.RLock()
_QUEUE_SECONDS: Final = 2.0
# Between two tries. The driver's own pauses grow to half a second, and another process's writers take the gaps.
_PAUSE_SECONDS: Final = 0.01
_TRANSIENT: Final = "TransientTransactionError"
_DUPLICATE: Final = 11000


class TryAgain(Exception):
    """Another transaction was there first: this one is taken back and run again."""


def insert_new(collection: Collection[dict[str, Any]], rows: Sequence[dict[str, Any]], session: ClientSession) -> None:
    """Insert rows that aren't there yet. Raises DuplicateKeyError where one is."""
    try:
        if rows:
            collection.insert_many(rows, session=session)
    except BulkWriteError as error:
        if any(one["code"] != _DUPLICATE for one in error.details["writeErrors"]):
            raise
        raise DuplicateKeyError("one of these is there already", _DUPLICATE) from error


def look(client: MongoClient[dict[str, Any]], read: Callable[[ClientSession], T]) -> T:
    """What `read` finds, of one moment. It only reads, may raise TryAgain, and then runs again at a later moment."""
    with pymongo.timeout(_TIMEOUT_SECONDS):
        while True:
            with suppress(TryAgain), client.start_session(snapshot=True) as session:
                return read(session)


def transact(client: MongoClient[dict[str, Any]], act: Callable[[ClientSession], T]) -> T:
    """Run `act` in a transaction and return what it returned: snapshot reads, journaled majority writes.

    It may run more than once: MongoDB asks for a transaction to be repeated when it conflicts, and `act` may raise
    TryAgain. Raises ExecutionTimeout where it has not committed in time.
    """
    deadline = time.monotonic() + _TIMEOUT_SECONDS

    def attempt(session: ClientSession) -> T:
        try:
            return act(session)
        except PyMongoError as error:
            if error.has_error_label(_TRANSIENT):
                raise TryAgain from error
            raise

    def run(session: ClientSession) -> T:
        return session.with_transaction(attempt, read_concern=ReadConcern("snapshot"), write_concern=_JOURNALED)

    with pymongo.timeout(_TIMEOUT_SECONDS), client.start_session() as session:
        try:
            return run(session)
        except TryAgain:
            is_alone = _REPEATS.acquire(timeout=_QUEUE_SECONDS)
        try:
            while True:
                time.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311 - not for security
                try:
                    return run(session)
                except TryAgain as error:
                    # Not left to the driver: without an idle connection it says for ever that a try may help, since it
                    # has no time left to open one.
                    if time.monotonic() >= deadline:
                        raise ExecutionTimeout("the transaction has not committed in time") from error
        finally:
            if is_alone:
                _REPEATS.release()
