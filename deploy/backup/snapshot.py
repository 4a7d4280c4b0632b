"""Reading collections of several databases as they all were at one cluster time.

The time is named in each command, since every service's account has a session of its own. MongoDB keeps what is needed
for `minSnapshotHistoryWindowInSeconds`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

from bson import Timestamp
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from pymongo.read_preferences import ReadPreference

_RAW: Final = CodecOptions[RawBSONDocument](document_class=RawBSONDocument)
_BATCH: Final = 1_000
T = TypeVar("T")
_TOO_OLD, _UNAVAILABLE = 239, 246


class WindowOver(Exception):
    """MongoDB no longer has the databases as they were then: the backup took too long."""


class Rearranged(Exception):
    """A collection or an index was made just now, so it can't be read as it was: try again at a later time."""


def tried_again(act: Callable[[], T], *, after: tuple[type[Exception], ...], times: int, pause_seconds: float) -> T:
    """What `act` returns, tried so often in all while it raises one of these; then that is raised."""
    for _ in range(times - 1):
        with suppress(*after):
            return act()
        time.sleep(pause_seconds)
    return act()


def now_at(client: MongoClient[Any], database: str, collection: str) -> Timestamp:
    """The cluster time of a moment that a majority has."""
    command = {"find": collection, "limit": 1, "projection": {"_id": 1}, "readConcern": {"level": "snapshot"}}
    reply = client[database].command(command, read_preference=ReadPreference.PRIMARY)
    # Without the collection the server reads nothing, and names no time of its own.
    at: Timestamp = reply["cursor"].get("atClusterTime", reply["operationTime"])
    return at


def documents(
    client: MongoClient[Any], database: str, collection: str, at: Timestamp, *, where: Mapping[str, Any] | None = None
) -> Iterator[bytes]:
    """Every document of the collection at that time, or those that match, as BSON. None where there was no such
    collection.

    Raises WindowOver, Rearranged, PyMongoError.
    """
    names = client[database]
    concern = {"level": "snapshot", "atClusterTime": at}
    with client.start_session(causal_consistency=False) as session:
        command: dict[str, Any] = {"find": collection, "filter": dict(where or {}), "batchSize": _BATCH}
        command["readConcern"] = concern
        batch = "firstBatch"
        while True:
            try:
                cursor = names.command(command, codec_options=_RAW, session=session)["cursor"]
            except OperationFailure as error:
                if error.code == _TOO_OLD:
                    raise WindowOver from error
                if error.code == _UNAVAILABLE:
                    raise Rearranged from error
                raise
            for document in cursor[batch]:
                yield document.raw
            if not cursor["id"]:
                return
            command = {"getMore": cursor["id"], "collection": collection, "batchSize": _BATCH}
            batch = "nextBatch"
