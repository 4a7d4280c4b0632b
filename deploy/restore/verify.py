"""Trying a backup: it is loaded into databases of its own on this machine's servers, and every record is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from deploy.backup import installation as installations
from deploy.backup.archives import Reader
from deploy.backup.catalogue import Archive
from deploy.local.stack import Stack
from deploy.restore import loading, replay
from services.document.store.files import NoObject
from services.document.upload.errors import Damaged
from shared.db import Exported, Repository
from shared.db.keys.errors import Altered, KeysAway
from shared.db.objects import ObjectStore
from shared.ids import new_id
from shared.service.service import Opened

#: The document service's records of its objects.
_VERSIONS: Final = "versions"
_PIECE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one store has: records, those whose key is gone (of an erasure under way), and those that don't open."""

    service: str
    store: str
    records: int
    orphans: int
    unreadable: int


def verify(stack: Stack, archive: Archive, keys: Reader) -> list[Found]:
    """Load both archives under names of their own, open every record and every file, and delete all of it again.

    keys: the archive of keys as it was before it was sealed. No process of a service runs on it, and nothing is sent.
    """
    names = f"verify{new_id()[-8:]}"
    try:
        scratch = stack.provision(names)
        with archive.path.open("rb") as file, installations.opened(scratch.env) as installation:
            data = Reader(file, archive.name)
            data.check()
            for member in installation:
                loading.load(member, data, keys)
            with replay.opened(installation) as services:
                return [found for name, service in services.items() for found in _found(name, service)]
    finally:
        stack.deprovision(names)


def _found(name: str, service: Opened[Any]) -> Iterator[Found]:
    stores = service.runtime.register.stores
    for store in stores.values():
        if isinstance(store, Repository):
            yield _read(name, store.name, store.rows.find(), store.item_of)
        elif isinstance(store, ObjectStore):
            # By the records, so that a file that is missing is noticed.
            versions = cast(Repository[Any], stores[_VERSIONS])
            cases = versions.rows.distinct("case_id")
            yield _read(name, store.name, (file for case in cases for file in store.export(case)), _read_file)


def _read(service: str, store: str, items: Iterator[Any], opened: Callable[[Any], object]) -> Found:
    records = orphans = unreadable = 0
    for item in items:
        records += 1
        try:
            # A row without a sealed part has been read when its code is right, whether it is an item or not.
            if opened(item) is None and "personal" in item:
                orphans += 1
        except (Altered, KeysAway, Damaged, NoObject):
            unreadable += 1
    return Found(service=service, store=store, records=records, orphans=orphans, unreadable=unreadable)


def _read_file(file: Exported) -> bool:
    if file.content is not None:
        with file.content() as content:
            while content.read(_PIECE):
                pass
    return True
