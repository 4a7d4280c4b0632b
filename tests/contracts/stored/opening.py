"""Opening a service on databases of its own, and reading its stores: all that the tests of stored records know of the
kernel. When modules or the register change, this file changes with them, and the stored files don't.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bson import ObjectId
from bson.binary import Binary
from bson.json_util import JSONMode, JSONOptions, dumps, loads

from deploy.local.provision import Provision
from shared.db import Disposal, Repository
from shared.db.keys.errors import KeyGone
from shared.db.keys.tree import TREE_ID
from shared.events import Event, all_types
from shared.messaging.bus.publisher import Sent
from shared.messaging.inbox import Inbox
from shared.messaging.outbox import Outbox
from shared.service.runtime import Runtime
from tests.contracts.stored.databases import connected, databases, empty, roots_of

HERE = Path(__file__).parent
#: What version 0.2 stored, with the master key that opened it.
BEFORE = HERE / "before"
#: What accounts on the broker begin with, in the messages that are stored.
NAMES = "fmn"
#: Stores that are no collection: their file holds keys and bytes of objects.
BUCKETS = {"objects"}
Row = dict[str, Any]
_JSON = JSONOptions(json_mode=JSONMode.CANONICAL, tz_aware=True)
_PLAIN_FIELDS = {"_id", "case_id", "version", "personal", "own_key", "mac", "changed"}


@dataclass(kw_only=True)
class Opened:
    """One service as its worker opens it. heard, sent: what its inbox handled and what its outbox published.

    ran: the steps that were run, by id.
    """

    name: str
    runtime: Runtime
    context: Any
    inbox: Any
    outbox: Any
    heard: list[Event]
    sent: list[Row]
    ran: dict[str, Any] = field(default_factory=dict)

    @property
    def stores(self) -> Any:
        """The service's own stores."""
        return self.context.stores

    @property
    def registered(self) -> Mapping[str, Any]:
        """Every store of the register, by name."""
        return dict(self.runtime.register.stores)


class _Broker:
    """A publisher that confirms everything, and keeps what it was given."""

    sends_at_once = True

    def __init__(self, sent: list[Row]) -> None:
        self.sent = sent

    def begin(self, rows: Sequence[Row]) -> Sent:
        self.sent.extend(rows)
        sent = Sent(rows)
        for row in rows:
            sent.settle(row["_id"], "ok")
        return sent

    def wait_connected(self, timeout: float) -> bool:
        return True


def open_service(name: str, provided: Provision, folder: Path) -> Opened:
    """The service's worker, with every store that it opens, on the golden key tree.

    folder: where its secrets are copied to. What was stored is loaded by `load`, the keys alone before this.
    """
    secrets = folder / name
    shutil.copytree(provided.secrets[name], secrets)
    shutil.copy(BEFORE / "search.key", secrets / "search.key")
    empty(name, provided)
    _load_keys(name, provided)
    return opened(name, {**provided.env[name], "FMN_SECRETS": str(secrets)})


def opened(name: str, env: Mapping[str, str]) -> Opened:
    """The service's worker, as this environment says."""
    with patch.dict(os.environ, env):
        service = import_module(f"services.{name}.main").service.open("worker")
    runtime: Runtime = service.runtime
    heard: list[Event] = []
    sent: list[Row] = []

    def hear(tx: Any, event: Event) -> None:
        # What is passed by may have been handled in a transaction that came to nothing.
        tx.after_commit.append(lambda: heard.append(event))

    return Opened(
        name=name,
        runtime=runtime,
        context=service.context,
        outbox=Outbox(runtime.register, _Broker(sent)),  # type: ignore[arg-type]
        inbox=Inbox(runtime.register, dict.fromkeys(all_types(), hear), keys=runtime.keys, names=NAMES),
        heard=heard,
        sent=sent,
    )


def _load_keys(name: str, provided: Provision) -> None:
    """Put back the golden key tree and its root, before the service is opened, which would make another."""
    tree = from_json(HERE / name / "tree.json")
    with connected(name, provided) as client:
        vault = databases(name, provided, client)["vault"]
        vault["tree"].insert_many(tree)
        vault["buckets"].insert_many([{"_id": n, "version": v} for n, v in enumerate(tree[0]["versions"])])
        vault["keys"].insert_many(from_json(HERE / name / "keys.json"))
    for place in roots_of(name, provided):
        for file in (HERE / name / "roots").iterdir():
            shutil.copy(file, place / file.name)
            (place / file.name).chmod(0o600)


def keep_keys(opened: Opened, provided: Provision) -> None:
    """Make the golden key tree: what the vault has now, and its root."""
    vault = opened.runtime.unit_of_work.vault_db
    folder = HERE / opened.name
    shutil.rmtree(folder / "roots", ignore_errors=True)
    shutil.copytree(roots_of(opened.name, provided)[0], folder / "roots")
    to_json(folder / "tree.json", [vault["tree"].find_one({"_id": TREE_ID}) or {}])
    to_json(folder / "keys.json", list(vault["keys"].find().sort("_id", 1)))


def rows_of(opened: Opened, store: str) -> Any:
    """The collection of a store."""
    return opened.registered[store].rows


def stored(opened: Opened, store: str) -> list[Row]:
    """A store's rows as they lie in MongoDB."""
    return list(rows_of(opened, store).find().sort("_id", 1))


def objects_of(opened: Opened, store: str) -> list[Row]:
    """A bucket's objects, as they lie in the object store."""
    bucket = opened.registered[store]
    return [{"_id": key, "content": bucket.open(key).read()} for key in sorted(bucket.keys())]


def put_object(opened: Opened, store: str, row: Row) -> None:
    """Put an object back under its key."""
    opened.registered[store].put(row["_id"], BytesIO(row["content"]))


def read(opened: Opened, store: str, row: Row) -> dict[str, Any] | None:
    """What the vault opens of one row: its clear fields, and its sealed part; None when its key is gone.

    A stripped row is still true without its sealed part. Rows that an erasure keeps have no version and no sealed part.
    """
    one = opened.registered[store]
    found = one.rows.find_one({"_id": row["_id"]})
    if found is None:
        return None
    personal: Row = {}
    if found.get("personal") is not None:
        try:
            personal = opened.runtime.unit_of_work.vault.open(found["personal"], one.records._context(found))
        except KeyGone:
            if one.disposal is not Disposal.STRIP:
                return None
    return {
        "id": plain(row["_id"]),
        "case_id": found.get("case_id"),
        "version": found.get("version"),
        "clear": plain({name: value for name, value in found.items() if name not in _PLAIN_FIELDS}),
        "personal": plain(personal),
    }


def written_again(opened: Opened, store: str, row: Row) -> dict[str, Any] | None:
    """What `read` finds of a row once its repository has read it and written it back; None for one it passes over."""
    repository: Repository[Any] = opened.registered[store]
    item = repository.get(row["_id"])
    if item is None:
        return None
    run = opened.runtime.unit_of_work.run
    if hasattr(item, "version"):
        run(lambda tx: repository.save(item, tx=tx))
    else:
        # A service writes it once, or puts it in the place of the one before.
        repository.rows.replace_one({"_id": row["_id"]}, repository.row_of(item))
    return read(opened, store, row)


def keep(opened: Opened, store: str, samples: Sequence[Any]) -> None:
    """Make the golden records of a new store: its rows, what they hold, and the keys that open them."""
    one = opened.registered[store]
    if isinstance(one, Repository):
        opened.runtime.unit_of_work.run(lambda tx: [one.add(item, tx=tx) for item in samples])
        to_json(HERE / opened.name / "keys.json", list(opened.runtime.unit_of_work.vault_db["keys"].find()))
    else:
        for item in samples:
            one.insert(item)
    rows = stored(opened, store)
    to_json(HERE / opened.name / f"{store}.json", rows)
    path = HERE / opened.name / "expected.json"
    expected = json.loads(path.read_text(encoding="utf-8"))
    expected[store] = [read(opened, store, row) for row in rows]
    path.write_text(json.dumps(expected, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def found(opened: Opened, store: str, case_id: str) -> tuple[str, int]:
    """What an erasure does with a store, and how many records of the case it finds there."""
    one = opened.registered[store]
    return str(one.disposal), one.found(case_id)


def erase(opened: Opened, store: str, case_id: str) -> int:
    """Do what an erasure does; how many records it finds after that."""
    one = opened.registered[store]
    one.delete(case_id)
    return int(one.remaining(case_id))


def plain(value: Any) -> Any:
    """The value as JSON can hold it: times, dates and MongoDB's ids as text, enums by value, bytes as hex."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, ObjectId):
        return str(value)
    if isinstance(value, bytes | Binary):
        return bytes(value).hex()
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


def to_json(path: Path, rows: Sequence[Row]) -> None:
    path.write_text(dumps(rows, json_options=_JSON, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def from_json(path: Path) -> list[Row]:
    return list(loads(path.read_text(encoding="utf-8"), json_options=_JSON))


def files_of(name: str, where: Path = HERE) -> dict[str, Path]:
    """The files of stored rows of one service, by store."""
    others = {"keys", "tree", "expected"}
    return {path.stem: path for path in sorted((where / name).glob("*.json")) if path.stem not in others}


def load(opened: Opened) -> dict[str, list[Row]]:
    """Empty every store of the service, and put in what is stored; the rows by store."""
    loaded: dict[str, list[Row]] = {}
    files = files_of(opened.name)
    for store in opened.registered:
        rows = from_json(files[store]) if store in files else []
        loaded[store] = rows
        if store in BUCKETS:
            for row in rows:
                put_object(opened, store, row)
            continue
        rows_of(opened, store).delete_many({})
        if rows:
            rows_of(opened, store).insert_many(rows)
    return loaded
