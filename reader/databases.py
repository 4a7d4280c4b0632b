"""Reads every collection of every database, as the server lists them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

import bson
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure

from reader.findings import Findings
from reader.kept import APART, is_kept
from reader.matching import Wanted

Row = dict[str, Any]
#: MongoDB's own: accounts, settings, and the operation log, in which each write stays for a while, as it was encrypted.
SERVERS_OWN: Final = ("admin", "config", "local")
_UNAUTHORIZED: Final = 13
_LENGTH_BYTES: Final = 4
# A batch is at most 16 MB whatever its number of rows.
_BATCH_ROWS: Final = 2_000


def read_databases(client: MongoClient[Row], wanted: Wanted, findings: Findings, *, names: str, only_own: bool) -> None:
    """Look for the cases in every row. names: the prefix of this installation's databases. only_own: others' databases
    are on the server too, and are not this installation's to read.
    """
    for database in client.list_database_names():
        if database in SERVERS_OWN:
            findings.unread.add(database)
        elif only_own and not database.startswith(f"{names}_"):
            findings.unread.add("databases of other installations")
        else:
            findings.leftover(wanted.named_in(database.encode()), "<name-of-a-database>")
            _read_database(client[database], wanted, findings, database.removeprefix(f"{names}_"))


def _read_database(database: Database[Row], wanted: Wanted, findings: Findings, short: str) -> None:
    for listed in database.list_collections():
        name = str(listed["name"])
        if listed["type"] == "view":
            # What it shows lies in a collection that is read.
            continue
        place = f"{short}.{name}"
        findings.leftover(wanted.named_in(name.encode()), f"{short}.<name-of-a-collection>")
        try:
            _read_rows(database, name, wanted, findings, place)
        except OperationFailure as error:
            if error.code != _UNAUTHORIZED or not name.startswith("system."):
                raise
            findings.unread.add(place)
        findings.collections += 1


def _read_rows(database: Database[Row], name: str, wanted: Wanted, findings: Findings, place: str) -> None:
    # Each batch is BSON documents, one after another; the driver's annotation says otherwise.
    for batch in cast("Iterator[bytes]", database[name].find_raw_batches(batch_size=_BATCH_ROWS)):
        findings.rows += _count(batch)
        named = wanted.named_in(batch)
        if not named or place in APART:
            continue
        among = Wanted(named)
        for raw in _documents(batch):
            if cases := among.named_in(raw):
                if is_kept(place, bson.decode(raw)):
                    for case_id in cases:
                        findings.of[case_id].kept.add(place)
                else:
                    findings.leftover(cases, place)


def _count(batch: bytes) -> int:
    return sum(1 for _ in _spans(batch))


def _documents(batch: bytes) -> Iterator[bytes]:
    for start, end in _spans(batch):
        yield batch[start:end]


def _spans(batch: bytes) -> Iterator[tuple[int, int]]:
    """Where each document begins and ends: it starts with its own length."""
    start = 0
    while start < len(batch):
        end = start + int.from_bytes(batch[start : start + _LENGTH_BYTES], "little")
        yield start, end
        start = end
