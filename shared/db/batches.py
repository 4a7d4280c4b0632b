"""Records of many cases, read in batches: the keys of a batch in one call, and not one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

from shared.db.keys.errors import Altered
from shared.db.keys.tree import DoesNotOpen
from shared.db.keys.vault import Vault
from shared.db.repository import Repository
from shared.db.unit_of_work import Row

T = TypeVar("T")
AT_ONCE: Final = 200


def batches(
    vault: Vault, store: Repository[T], where: Mapping[str, Any], *, after: str | None = None
) -> Iterator[list[T]]:
    """All records by clear fields whose id is above `after`, oldest first; orphans are passed over.

    So is, after an alarm, what something else changed. A batch may be empty.
    """
    while True:
        query: Row = dict(where) if after is None else {"$and": [dict(where), {"_id": {"$gt": after}}]}
        rows = list(store.rows.find(query).sort("_id", 1).limit(AT_ONCE))
        _read_ahead(vault, _keys_of(vault, rows))
        yield list(_opened(store, rows))
        if len(rows) < AT_ONCE:
            return
        after = str(rows[-1]["_id"])


def _opened(store: Repository[T], rows: Iterable[Row]) -> Iterator[T]:
    for row in rows:
        with suppress(Altered):
            item = store.item_of(row)
            if item is not None:
                yield item


def _keys_of(vault: Vault, rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        if row.get("personal") is not None:
            with suppress(Altered):
                yield vault.key_named_in(row["personal"])


def _read_ahead(vault: Vault, names: Iterable[str]) -> None:
    """Have these keys in memory. One that isn't there afterwards is looked for when it is needed, and alarmed for."""
    missing = sorted({name for name in names if vault.cache.key(name) is None})
    if not missing:
        return
    tree = vault.tree()
    for row in vault.keys.find({"_id": {"$in": missing}}):
        if tree.wraps(row):
            with suppress(DoesNotOpen):
                vault.cache.put_key(str(row["_id"]), tree.unwrap(row))
