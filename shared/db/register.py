"""What a store is, and the list of all of them in one service."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from pymongo.database import Database

from shared.fields import Field

if TYPE_CHECKING:
    from minio import Minio

    from shared.db.apart import Apart
    from shared.db.collection import Collection
    from shared.db.kept_rows import KeptRows
    from shared.db.objects import ObjectStore
    from shared.db.unit_of_work import UnitOfWork
    from shared.db.vault import Vault


class Disposal(StrEnum):
    """What an erasure does with a store.

    erase: its records go. strip: the row stays, its `personal` goes. late: it stays, under a key of its own, until
    something outside is certified, and then goes. keep: nothing personal was ever in it. apart: kept outside the case,
    each record under a key of its own with a retention of its own; no erasure, receipt or package says that it is
    there (safeguarding, P15).
    """

    ERASE = "erase"
    STRIP = "strip"
    LATE = "late"
    KEEP = "keep"
    APART = "apart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What a store has of a case: how many records with a personal part, and what deletes, or strips, just these."""

    count: int
    delete: Callable[[], int]


class Store(Protocol):
    """One collection, bucket or folder."""

    name: str
    disposal: Disposal
    clear: Mapping[str, Field]

    def found(self, case_id: str) -> int:
        """Records of the case that have a personal part (of objects: versions, markers and unfinished uploads)."""
        ...

    def delete(self, case_id: str) -> int:
        """Delete, or strip, what there is of the case; how many records it was."""
        ...

    def inventory(self, case_id: str) -> Inventory:
        """`found`, and then `delete`, of a store that has to be searched for both: once."""
        ...

    def remaining(self, case_id: str) -> int:
        """Read back: how many records still have a personal part, without decrypting any."""
        ...

    def export(self, case_id: str) -> Iterator[dict[str, Any]]:
        """What the family would be given of it."""
        ...


class Register:
    """Every store of one service, by name."""

    def __init__(self, unit_of_work: UnitOfWork, vault: Vault) -> None:
        self.unit_of_work = unit_of_work
        self.vault = vault
        self.stores: dict[str, Store] = {}

    def collection(
        self,
        name: str,
        *,
        clear: Mapping[str, Field],
        disposal: Disposal,
        unique: tuple[tuple[str, ...], ...] = (),
        indexes: tuple[tuple[str, ...], ...] = (),
        in_vault: bool = False,
        expire_after: timedelta | None = None,
    ) -> Collection:
        """Open a collection whose records are clear fields of this closed list, and a sealed `personal`.

        in_vault: it lies in the vault's database (search hashes). expire_after: after its clear field `at`.
        """
        from shared.db.collection import Collection

        database = self.unit_of_work.vault_db if in_vault else self.unit_of_work.db
        store = Collection(
            name,
            rows=database[name],
            vault=self.vault,
            clear=clear,
            disposal=disposal,
            indexes=indexes,
            unique=unique,
            expire_after=expire_after,
        )
        self._add(store)
        return store

    def keep(
        self,
        name: str,
        *,
        clear: Mapping[str, Field],
        retention: timedelta | None,
        why: str,
        indexes: tuple[tuple[str, ...], ...] = (),
        unique: tuple[tuple[str, ...], ...] = (),
        expires_on: str = "at",
        database: Database[dict[str, Any]] | None = None,
    ) -> KeptRows:
        """Open a collection that an erasure leaves: a closed list of clear fields, a retention, a reason.

        database: another than the service's own (the ledger lies outside the backups).
        """
        from shared.db.kept_rows import KeptRows

        store = KeptRows(
            name,
            rows=(self.unit_of_work.db if database is None else database)[name],
            clear=clear,
            retention=retention,
            why=why,
            indexes=indexes,
            unique=unique,
            expires_on=expires_on,
        )
        self._add(store)
        return store

    def apart(
        self, name: str, *, clear: Mapping[str, Field], indexes: tuple[tuple[str, ...], ...] = (), why: str
    ) -> Apart:
        """Open a collection that stands outside every case (P15): see `Apart`. why: the reason it may."""
        from shared.db.apart import Apart

        store = Apart(name, rows=self.unit_of_work.db[name], vault=self.vault, clear=clear, indexes=indexes, why=why)
        self._add(store)
        return store

    def objects(self, name: str, *, client: Minio, bucket: str) -> ObjectStore:
        """Open a bucket whose keys begin with the case id."""
        from shared.db.objects import ObjectStore

        store = ObjectStore(name, client=client, bucket=bucket)
        self._add(store)
        return store

    def prepare(self) -> None:
        """Make the indexes; run by the worker when it starts."""
        self.vault.prepare()
        for store in self.stores.values():
            prepare = getattr(store, "prepare", None)
            if prepare is not None:
                prepare()

    def erased_by_a_case(self) -> list[Store]:
        """The stores that an erasure empties or strips, in the order they were opened."""
        return [s for s in self.stores.values() if s.disposal in (Disposal.ERASE, Disposal.STRIP)]

    def late(self) -> list[Store]:
        return [s for s in self.stores.values() if s.disposal is Disposal.LATE]

    def _add(self, store: Store) -> None:
        if store.name in self.stores:
            raise ValueError(f"the store {store.name} is opened twice")
        self.stores[store.name] = store
