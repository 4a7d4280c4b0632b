"""Create the replica set of a MongoDB server over the network, as its administrator."""

from __future__ import annotations

import time
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure

_ALREADY_INITIALIZED = 23


class NoPrimary(Exception):
    """The replica set has elected no primary in time."""


def ensure_replica_set(client: MongoClient[dict[str, Any]], name: str, member: str, within_s: float = 60) -> None:
    """Create the set with this one member (host:port) unless it exists, and wait for a primary. Raises NoPrimary.

    client: a direct connection as administrator. Members that were added later stay.
    """
    try:
        client.admin.command("replSetInitiate", {"_id": name, "members": [{"_id": 0, "host": member}]})
    except OperationFailure as error:
        if error.code != _ALREADY_INITIALIZED:
            raise
    deadline = time.monotonic() + within_s
    while not _has_primary(client.admin.command("hello")):
        if time.monotonic() > deadline:
            raise NoPrimary(f"The replica set {name} has had no primary for {within_s:.0f} s; see MongoDB's log.")
        time.sleep(0.2)


def _has_primary(hello: dict[str, Any]) -> bool:
    return bool(hello.get("isWritablePrimary") or hello.get("primary"))
