"""One service: set the old keys aside, write every record anew, read all back, destroy the old keys."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from pymongo import MongoClient, UpdateOne
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from deploy.migrate import forms
from deploy.migrate.errors import CannotMigrate
from deploy.migrate.old_keys import OldKeys
from deploy.migrate.records import Counts, Renewal, batches, make_keys, read_back
from shared.clock import utc_now
from shared.db import Repository
from shared.db.keys.errors import Altered, KeysAway
from shared.db.keys.tree import bucket_of
from shared.db.unit_of_work import SERVICES_NAME
from shared.ids import is_id
from shared.messaging.parked_messages import ParkedMessages
from shared.ops.settings import Settings, SettingsError, load
from shared.service.runtime import MIGRATION, Runtime

Row = dict[str, Any]
Tell = Callable[[str], None]

_OWN_NAME: Final = "forgetmenot migrate"
_MASTERS: Final = "FMN_MASTER_KEYS"
_CASE_KEYS: Final = "case_keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one service. None: nothing of an older version was there, and nothing was done."""

    service: str
    counts: Counts | None


def require_stopped() -> None:
    """Raises CannotMigrate while a process of the service that the environment names has connections to MongoDB."""
    settings = _settings()
    with _client(settings) as client:
        try:
            admin = client.get_database("admin", read_concern=ReadConcern("local"))
            own = admin.aggregate([{"$currentOp": {"allUsers": False, "idleConnections": True}}])
            runs = any(one.get("appName") == SERVICES_NAME for one in own)
        except PyMongoError as error:
            raise CannotMigrate(f"MongoDB can't be asked: {type(error).__name__}.") from error
    if runs:
        raise CannotMigrate(
            f"The {settings.service} service still runs. Nothing was changed. Stop every service, and run this again."
        )


def migrate(tell: Tell = lambda _done: None) -> Outcome:
    """Migrate the service that the environment names, as its processes are told it. tell: what was just done.

    Raises CannotMigrate; then the old keys are all there, and it may be run again.
    """
    settings = _settings()
    masters = Path(os.environ.get(_MASTERS) or Path(os.environ["FMN_SECRETS"]) / "master-keys")
    try:
        with _client(settings) as client:
            old = OldKeys(client, f"{settings.names}_{settings.service}_vault", masters)
            old.require_destroyable()
            if not old.set_aside():
                return Outcome(service=settings.service, counts=None)
            tell("old keys set aside")
            try:
                return Outcome(service=settings.service, counts=_with_service(settings.service, old, tell))
            finally:
                old.close()
    except PyMongoError as error:
        raise CannotMigrate(f"MongoDB failed: {type(error).__name__}. Run this again.") from error
    except (Altered, KeysAway) as error:
        raise CannotMigrate(f"Stopped: {error} The log says more.") from error


def _with_service(service: str, old: OldKeys, tell: Tell) -> Counts:
    try:
        opened = import_module(f"services.{service}.main").service.open(MIGRATION)
    except SettingsError as error:
        raise CannotMigrate(str(error)) from error
    runtime: Runtime = opened.runtime
    try:
        return _Migration(service, runtime, old, tell).run()
    finally:
        runtime.unit_of_work.client.close()


class _Migration:
    """One run for one service, opened as its own processes open it."""

    def __init__(self, service: str, runtime: Runtime, old: OldKeys, tell: Tell) -> None:
        self._service = service
        self._runtime = runtime
        self._vault = runtime.unit_of_work.vault
        self._old = old
        self._tell = tell
        self._stores = {name: one for name, one in runtime.register.stores.items() if isinstance(one, Repository)}

    def run(self) -> Counts:
        self._make_case_keys()
        forms.delete_answers(self._runtime.register)
        counts = Counts()
        expected = {}
        for name, store in self._stores.items():
            if name not in forms.NOT_RENEWED:
                expected[name] = self._renew(name, store, counts)
        if self._service == "case":
            people, hashes = self._stores["people"], self._stores["search_hashes"]
            expected["search_hashes"] = forms.make_search_hashes(people, hashes, self._vault)
            self._tell("search hashes made anew")
            forms.hash_concerns(self._stores["safeguarding"], self._vault)
            self._tell("safeguarding records hashed")
        counts.renewed += forms.mark_gates(self._runtime.unit_of_work.gates)
        self._tell("gates marked")
        counts.renewed += ParkedMessages(self._runtime.register, self._runtime.keys).seal_older()
        self._tell("unread messages sealed")
        counts.renewed += self._runtime.kernel_stores.audit.seal_older()
        self._tell("audit rows about safeguarding sealed")
        self._runtime.unit_of_work.db["steps"].delete_many({"kind": {"$in": forms.STEPS_NO_MORE}})
        self._read_back(expected)
        self._old.destroy_masters()
        self._tell("master keys destroyed")
        self._record_destroyed()
        self._old.rows.drop()
        self._tell("old keys dropped")
        return counts

    def _make_case_keys(self) -> None:
        """The key of each case that had one and has a gate. Other names get theirs with the records that need it."""
        gates = self._runtime.unit_of_work.gates
        for names in self._old.names():
            if cases := gates.known(name for name in names if is_id(name)):
                make_keys(self._vault, cases)
                self._tell(f"{len(cases)} case keys made")

    def _renew(self, name: str, store: Repository[Any], counts: Counts) -> int:
        """Write a store anew; how many rows it has then."""
        before = store.rows.count_documents({})
        upgrade = forms.UPGRADES.get((self._service, name), lambda row: row)
        done = Renewal(self._vault, self._old, self._tell).renew(store, upgrade)
        counts.renewed += done.renewed
        counts.orphans += done.orphans
        return before - done.deleted

    def _read_back(self, expected: dict[str, int]) -> None:
        """Open all there is as a service does, with the new keys alone. Raises CannotMigrate."""
        for name, store in self._stores.items():
            count = read_back(store)
            if count != expected.get(name, count):
                raise CannotMigrate(f"{name} has {count} records, and should have {expected[name]}.")
        gates = self._runtime.unit_of_work.gates
        for batch in batches(gates.rows):
            gates.states(str(row["_id"]) for row in batch)
        self._tell("all read back")

    def _record_destroyed(self) -> None:
        """Of a case whose erasure had deleted its key: the key hung on the master keys, which are destroyed now.

        So its receipts can say when that was.
        """
        tree, now = self._vault.tree(), utc_now()
        for row in self._runtime.erasure.rows.find({f"found.{_CASE_KEYS}": {"$gt": 0}}):
            case_id = str(row["case_id"])
            if not self._vault.has_key(case_id):
                gone = {
                    "bucket": bucket_of(case_id),
                    "at": now,
                    "then": [],
                    "gone_at": now,
                    "generation": tree.generation,
                }
                self._vault.doomed.bulk_write([UpdateOne({"_id": case_id}, {"$setOnInsert": gone}, upsert=True)])


def _settings() -> Settings:
    try:
        return load()
    except SettingsError as error:
        raise CannotMigrate(str(error)) from error


def _client(settings: Settings) -> MongoClient[Row]:
    # Another name than the services', by which `require_stopped` tells them.
    return MongoClient(
        settings.mongo_url,
        tz_aware=True,
        w="majority",
        journal=True,
        readConcernLevel="majority",
        serverSelectionTimeoutMS=5_000,
        appname=_OWN_NAME,
    )
