"""The records of one store, from the old form to the new one, some at a time; and read back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from pymongo import DeleteOne, ReplaceOne
from pymongo.collection import Collection

from deploy.migrate.errors import CannotMigrate, OldKeyGone
from deploy.migrate.old_keys import OldKeys, is_sealed_before
from shared.db import Disposal, Repository
from shared.db.keys.errors import Altered
from shared.db.keys.vault import Vault
from shared.db.transactions import transact

Row = dict[str, Any]
Change = ReplaceOne[Row] | DeleteOne

#: Rows in memory at once. A row may hold a letter.
AT_ONCE: Final = 100


@dataclass(slots=True, kw_only=True)
class Counts:
    """renewed: rows that were written in the new form. orphans: rows that no key opens any more; deleted: those among
    them that aren't true without their sealed part.
    """

    renewed: int = 0
    orphans: int = 0
    deleted: int = 0


def batches(rows: Collection[Row], where: Row | None = None) -> Iterator[list[Row]]:
    """The rows in the order of their ids. They may be replaced while this goes on."""
    after: Row = {}
    while batch := list(rows.find({**(where or {}), **after}).sort("_id", 1).limit(AT_ONCE)):
        yield batch
        after = {"_id": {"$gt": batch[-1]["_id"]}}


def is_of_before(row: Row) -> bool:
    return is_sealed_before(row.get("personal")) or ("personal" not in row and "mac" not in row)


def make_keys(vault: Vault, names: Iterable[str]) -> None:
    """Make the keys of these names that aren't there."""
    wanted = set(names)
    there = {row["_id"] for row in vault.keys.find({"_id": {"$in": sorted(wanted)}}, {"_id": 1})}
    if missing := sorted(wanted - there):
        transact(vault.client, lambda session: vault.make(missing, session))


class Renewal:
    """Writes the records of a service's repositories anew."""

    def __init__(self, vault: Vault, old: OldKeys, tell: Callable[[str], None]) -> None:
        self._vault = vault
        self._old = old
        self._tell = tell

    def renew(self, store: Repository[Any], upgrade: Callable[[Row], Row] = lambda row: row) -> Counts:
        """Write every row of the old form anew. upgrade: what turns an earlier form into that of version 0.2.

        Raises CannotMigrate for a row that isn't what version 0.2 wrote there.
        """
        counts = Counts()
        for batch in batches(store.rows):
            before = [upgrade(row) for row in batch if is_of_before(row)]
            if before:
                store.rows.bulk_write(list(self._changes(store, before, counts)), ordered=False)
                self._tell(f"{store.name}: {counts.renewed} written anew")
        return counts

    def _changes(self, store: Repository[Any], before: list[Row], counts: Counts) -> Iterator[Change]:
        items: list[tuple[Row, Any]] = []
        for row in before:
            if row.get("personal") is None:
                counts.renewed += 1
                yield _replaced(row, _marked(store, row))
                continue
            try:
                items.append((row, self._item(store, row)))
            except OldKeyGone:
                counts.orphans += 1
                if store.disposal is Disposal.STRIP:
                    yield _replaced(row, _marked(store, row))
                else:
                    counts.deleted += 1
                    yield DeleteOne({"_id": row["_id"]})
        make_keys(self._vault, {store.records.key_of(item) for _, item in items})
        for row, item in items:
            counts.renewed += 1
            yield _replaced(row, store.row_of(item))

    def _item(self, store: Repository[Any], row: Row) -> Any:
        opened = self._old.open(row["personal"])
        # What lay in clear then, and is sealed now.
        opened = {name: row[name] for name in store.records.sealed if name in row} | opened
        item = store.records.item_with(row, opened) if opened.pop("_id", None) == row["_id"] else None
        if item is None:
            raise CannotMigrate(f"{store.name} has a record with the sealed part of another one: {row['_id']}.")
        return item


def _marked(store: Repository[Any], row: Row) -> Row:
    """The row's clear fields, and the code over them. The earliest rows of some stores said no version."""
    kept = ("_id", "case_id", "version", *store.clear)
    return store.records.marked({"version": 1} | {name: row[name] for name in kept if name in row})


def _replaced(row: Row, new: Row) -> ReplaceOne[Row]:
    return ReplaceOne({"_id": row["_id"]}, new)


def read_back(store: Repository[Any]) -> int:
    """Open every row as a service does; how many there are. Raises CannotMigrate for one that doesn't open."""
    count = 0
    for row in store.rows.find().batch_size(AT_ONCE):
        try:
            # A row without a sealed part has been read when its code is right, whether it is an item or not.
            if store.item_of(row) is None and "personal" in row:
                raise CannotMigrate(f"{store.name} has a record whose key is missing: {row['_id']}.")
        except Altered as error:
            raise CannotMigrate(f"{store.name} has a record that doesn't open: {row['_id']}.") from error
        count += 1
    return count
