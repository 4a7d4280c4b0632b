"""Rows that an erasure leaves, because nothing personal is ever in them: gates, inbox, outbox, audit, ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from pymongo import ASCENDING
from pymongo import collection as mongo
from pymongo.client_session import ClientSession

from shared.db.changes import Feed, index_changes
from shared.db.store import Disposal, Exported, Inventory
from shared.fields import Field, misfits


class KeptRows:
    """A plain collection with a closed list of clear fields, a retention and a reason.

    `rows` is the collection itself, for what the kernel does with it; `insert` checks the closed list.
    retention None: kept for ever (a tombstone, the ledger).
    """

    def __init__(
        self,
        name: str,
        *,
        rows: mongo.Collection[dict[str, Any]],
        clear: Mapping[str, Field],
        retention: timedelta | None,
        why: str,
        indexes: tuple[tuple[str, ...], ...],
        unique: tuple[tuple[str, ...], ...],
        expires_on: str,
        feed: Feed | None = None,
    ) -> None:
        self.name = name
        self.disposal = Disposal.KEEP
        self.clear = clear
        self.rows = rows
        self.retention = retention
        self.why = why
        self.feed = feed
        self._indexes = indexes
        self._unique = unique
        self._expires_on = expires_on

    def prepare(self) -> None:
        for fields in self._indexes:
            self.rows.create_index([(name, ASCENDING) for name in fields])
        for fields in self._unique:
            self.rows.create_index([(name, ASCENDING) for name in fields], unique=True)
        if self.feed is not None:
            index_changes(self.rows)
        if self.retention is not None:
            self.rows.create_index(self._expires_on, expireAfterSeconds=int(self.retention.total_seconds()))

    def insert(self, row: Mapping[str, Any], *, session: ClientSession | None = None) -> None:
        """Write a row. Raises ValueError naming the fields that are not on the closed list."""
        self.check(row)
        self.rows.insert_one(dict(row), session=session)

    def check(self, row: Mapping[str, Any]) -> None:
        """Raises ValueError naming the fields that are not on the closed list."""
        if wrong := misfits(self.clear, {name: value for name, value in row.items() if name != "_id"}):
            raise ValueError(f"{self.name} doesn't keep, or wants otherwise: {', '.join(wrong)}")

    def found(self, case_id: str) -> int:
        return 0

    def delete(self, case_id: str) -> int:
        return 0

    def inventory(self, case_id: str) -> Inventory:
        return Inventory(count=0, delete=lambda: 0)

    def remaining(self, case_id: str) -> int:
        return 0

    def export(self, case_id: str) -> Iterator[Exported]:
        return iter(())
