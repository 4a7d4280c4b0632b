"""Transactions on MongoDB, all with the same concerns and the same patience."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import pymongo
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

T = TypeVar("T")

# Well under the time a caller waits; a server that is away becomes 503, not a hung request.
_TIMEOUT_SECONDS: Final = 8
_JOURNALED: Final = WriteConcern("majority", j=True)


def transact(client: MongoClient[dict[str, Any]], act: Callable[[ClientSession], T]) -> T:
    """Run `act` in a transaction and return what it returned: snapshot reads, journaled majority writes.

    It may run more than once: MongoDB asks for a transaction to be repeated when it conflicts.
    """
    with pymongo.timeout(_TIMEOUT_SECONDS), client.start_session() as session:
        return session.with_transaction(act, read_concern=ReadConcern("snapshot"), write_concern=_JOURNALED)
