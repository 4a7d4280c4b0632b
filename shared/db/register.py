"""The register: every store of one service, by name, and the only way to open one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from pymongo.database import Database

from shared.db.changes import REMOVAL_CLEAR, REMOVALS, Feed, Removal
from shared.db.kept_rows import KeptRows
from shared.db.options import Options
from shared.db.repository import Repository
from shared.db.store import Disposal, Store
from shared.db.unit_of_work import UnitOfWork
from shared.fields import Field

if TYPE_CHECKING:
    from minio import Minio

    from shared.db.objects import ObjectStore

T = TypeVar("T")


class Register:
    """Every store of one service, by name."""

    def __init__(self, unit_of_work: UnitOfWork) -> None:
        self.unit_of_work = unit_of_work
        self.vault = unit_of_work.vault
        self.stores: dict[str, Store] = {}
        # By late store, the name of a case's key in it.
        self.late_keys: dict[str, Callable[[str], str]] = {}
        self._removals: Repository[Removal] | None = None

    def repository(
        self,
        name: str,
        kind: type[T],
        *,
        clear: Mapping[str, Field],
        disposal: Disposal,
        in_vault: bool = False,
        late_key: Callable[[str], str] | None = None,
        **options: Unpack[Options[T]],
    ) -> Repository[T]:
        """Open a collection whose records are items of this dataclass (`Records` says how each lies in it).

        clear: the closed list of fields that lie in clear; every other field is sealed. disposal: what an erasure does
        with it. in_vault: it lies in the vault's database (search hashes). late_key: the name of the key that a late
        store's records of a case hang on; they are late until it is destroyed. options: see `Options`.
        """
        database = self.unit_of_work.vault_db if in_vault else self.unit_of_work.db
        store = Repository(
            name,
            kind,
            rows=database[name],
            vault=self.vault,
            clear=clear,
            disposal=disposal,
            removals=self._opened_removals() if "feed" in options else None,
            **options,
        )
        self._add(store)
        if late_key is not None:
            self.late_keys[name] = late_key
        return store

    def _opened_removals(self) -> Repository[Removal]:
        """What was removed from cases that live on, which the change feed tells of; opened with the first that it does.

        It is in the feed itself without being a kind of record. No family is given it: it holds ids alone.
        """
        if self._removals is None:
            self._removals = Repository(
                REMOVALS,
                Removal,
                rows=self.unit_of_work.db[REMOVALS],
                vault=self.vault,
                clear=REMOVAL_CLEAR,
                disposal=Disposal.ERASE,
                exported=False,
                feed=Feed(kind=REMOVALS),
            )
            self._add(self._removals)
        return self._removals

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
        feed: Feed | None = None,
    ) -> KeptRows:
        """Open a collection that an erasure leaves: a closed list of clear fields, a retention, a reason.

        database: another than the service's own (the ledger lies outside the backups). feed: how the change feed tells
        of its rows; what writes them marks each change (`changes.NOW`).
        """
        store = KeptRows(
            name,
            rows=(self.unit_of_work.db if database is None else database)[name],
            clear=clear,
            retention=retention,
            why=why,
            indexes=indexes,
            unique=unique,
            expires_on=expires_on,
            feed=feed,
        )
        self._add(store)
        return store

    def objects(self, name: str, *, client: Minio, bucket: str) -> ObjectStore:
        """Open a bucket whose keys begin with the case id."""
        # Its client takes long to load, and one service alone keeps files.
        from shared.db.objects import ObjectStore

        store = ObjectStore(name, client=client, bucket=bucket)
        self._add(store)
        return store

    def prepare(self) -> None:
        """Make the indexes; run by the worker when it starts."""
        self.vault.prepare()
        for store in self.stores.values():
            store.prepare()

    def erased_by_a_case(self) -> list[Store]:
        """The stores that an erasure empties or strips, in the order they were opened."""
        return [s for s in self.stores.values() if s.disposal in (Disposal.ERASE, Disposal.STRIP)]

    def late(self) -> list[Store]:
        return [s for s in self.stores.values() if s.disposal is Disposal.LATE]

    def _add(self, store: Store) -> None:
        if store.name in self.stores:
            raise ValueError(f"the store {store.name} is opened twice")
        self.stores[store.name] = store
