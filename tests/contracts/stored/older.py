"""One service as version 0.2 left it, to be migrated; and what must be so afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bson.binary import Binary

from deploy.local.provision import Provision
from deploy.migrate.errors import CannotMigrate
from deploy.migrate.migration import Outcome, migrate, require_stopped
from services.case.model.search import keys_of
from shared.db import Repository
from tests.contracts.stored.databases import connected, databases, empty, roots_of
from tests.contracts.stored.ids import CASE, ERASED, FROZEN, KEYLESS
from tests.contracts.stored.opening import (
    BEFORE,
    BUCKETS,
    Opened,
    Row,
    files_of,
    from_json,
    opened,
    plain,
    read,
    stored,
)

_ELSEWHERE = {"search_hashes": "vault", "ledger": "ledger"}
#: Made anew, and deleted.
_OTHERWISE = {"search_hashes", "idempotency"}


class Killed(BaseException):
    """The process died."""


class Installation:
    """One service as version 0.2 left it."""

    def __init__(self, name: str, provided: Provision, folder: Path) -> None:
        self.name = name
        self.provided = provided
        self.secrets = folder / name
        self.env = {**provided.env[name], "FMN_SECRETS": str(self.secrets)}

    @property
    def masters(self) -> Path:
        return self.secrets / "master-keys"

    def restore(self) -> None:
        """Make it so again."""
        shutil.rmtree(self.secrets, ignore_errors=True)
        shutil.copytree(self.provided.secrets[self.name], self.secrets)
        self.masters.mkdir()
        shutil.copy(BEFORE / "master.key", self.masters / "1.key")
        shutil.copy(BEFORE / "search.key", self.secrets / "search.key")
        empty(self.name, self.provided)
        with connected(self.name, self.provided) as client:
            by_part = databases(self.name, self.provided, client)
            by_part["vault"]["keys"].insert_many(from_json(BEFORE / self.name / "keys.json"))
            for store, file in files_of(self.name, BEFORE).items():
                if store not in BUCKETS:
                    by_part[_ELSEWHERE.get(store, "own")][store].insert_many(from_json(file))

    def migrate(self, *, dies_at: int | None = None) -> Outcome:
        """Migrate it. dies_at: the step at which the process dies; raises Killed."""
        steps = count(1)

        def tell(_done: str) -> None:
            if next(steps) == dies_at:
                raise Killed

        with patch.dict(os.environ, self.env):
            require_stopped()
            return migrate(tell)

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run Python as a process of the service."""
        env = {**os.environ, **self.env, **settings}
        return subprocess.run([sys.executable, *arguments], env=env, check=False, capture_output=True, text=True)

    def is_stopped(self) -> bool:
        """Whether MongoDB has noticed that a killed process is gone."""
        with patch.dict(os.environ, self.env):
            try:
                require_stopped()
            except CannotMigrate:
                return False
        return True

    def open(self) -> Opened:
        return opened(self.name, self.env)

    def content(self) -> dict[str, list[Row]]:
        """All that is in its databases."""
        with connected(self.name, self.provided) as client:
            return {
                f"{what}.{collection}": list(database[collection].find().sort("_id", 1))
                for what, database in databases(self.name, self.provided, client).items()
                for collection in sorted(database.list_collection_names())
            }

    def add(self, store: str, row: Row) -> None:
        with connected(self.name, self.provided) as client:
            databases(self.name, self.provided, client)["own"][store].insert_one(row)

    def change(self, store: str, id: str, **fields: Any) -> None:
        with connected(self.name, self.provided) as client:
            databases(self.name, self.provided, client)["own"][store].update_one({"_id": id}, {"$set": fields})


def an_older(name: str, provided: Provision, folder: Path) -> Installation:
    installation = Installation(name, provided, folder)
    installation.restore()
    return installation


def require_as_it_was(installation: Installation) -> None:
    """All that was stored is read as it was, and the old keys are gone."""
    service = installation.open()
    try:
        expected: dict[str, list[Any]] = json.loads((BEFORE / service.name / "expected.json").read_text())
        for store in sorted(set(expected) - _OTHERWISE):
            found = [read(service, store, row) for row in stored(service, store)]
            changed = list(_changes(service, store, expected[store], found))
            assert changed == [], store
        _require_renewed(service)
    finally:
        service.runtime.unit_of_work.client.close()
    assert not installation.masters.exists()
    assert [len(list(place.glob("*.root"))) for place in roots_of(service.name, installation.provided)] == [1, 1]


def _changes(service: Opened, store: str, expected: list[Any], found: list[Any]) -> Iterator[Any]:
    """What isn't as it was. A row may have more in it: fields that 0.2 left out have their defaults now."""
    assert [row["id"] for row in found] == [row["id"] for row in expected]
    for was, now in zip(expected, found, strict=True):
        if (service.name, store) == ("document", "projections"):
            was = {**was, "clear": {"standing": _standing(was)}}
        now = _told(service, store, now)
        # What lay in clear may be sealed now.
        holds = {**now["clear"], **now["personal"]}
        for name, value in {**was["clear"], **was["personal"]}.items():
            if holds.get(name) != value:
                yield was["id"], name, value, holds.get(name)
        if now["case_id"] != was["case_id"] or now["version"] != _version(service, store, was):
            yield was["id"], "case_id or version"


def _told(service: Opened, store: str, now: Row) -> Row:
    """What a person is told of the row, where it is sealed beside it."""
    if store == "parked" and now["case_id"] is None:
        body = service.inbox.parked_messages.unread.body_of(now["id"])
        assert now["clear"]["body"] is None
        return {**now, "clear": {**now["clear"], "body": plain(body)}}
    if store == "audit" and now["clear"].get("sealed"):
        audit = service.runtime.kernel_stores.audit
        assert now["case_id"] is None
        return {**now, "case_id": audit._opened(audit.store.rows.find_one({"_id": now["id"]}))["case_id"]}
    return now


def _version(service: Opened, store: str, was: Row) -> int | None:
    """The earliest rows of some stores said none."""
    return was["version"] or (1 if isinstance(service.registered[store], Repository) else None)


def _standing(was: Row) -> list[Row]:
    casework = {"consent": was["case_id"], "purpose": "casework", "until": was["clear"]["until"]}
    return [casework] if was["clear"]["casework"] else []


def _require_renewed(service: Opened) -> None:
    gates = service.runtime.unit_of_work.gates
    assert list(gates.states([CASE, FROZEN, ERASED, KEYLESS]).values()) == ["open", "frozen", "closed", "open"]
    vault = service.runtime.unit_of_work.vault
    assert [vault.has_key(case_id) for case_id in (CASE, FROZEN, ERASED, KEYLESS)] == [True, True, False, False]
    # The key of an erased case hung on the master keys, so its receipt can say when they were destroyed.
    assert service.runtime.keys.destroyed(ERASED) is not None
    assert stored(service, "idempotency") == []
    if service.name == "case":
        people = service.stores.people.find({})
        hashes = {one.id: one for one in service.stores.search_hashes.find({})}
        assert {one.id: dict(keys_of(one)) for one in people} == {id: dict(one.forms) for id, one in hashes.items()}
    assert "keys_before" not in service.runtime.unit_of_work.vault_db.list_collection_names()
    for one in service.registered.values():
        for row in one.rows.find() if isinstance(one, Repository) else ():
            assert not isinstance(row.get("personal"), Binary)
