"""The format of the key tree: roots outside the database, bucket keys, named keys, sealed parts bound to a place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import bson
from bson.codec_options import CodecOptions
from pymongo import MongoClient

from services.case.store import Stores as CaseStores
from services.consent.store import Stores as ConsentStores
from services.document.store.stores import Stores as DocumentStores
from services.notifier.store import Stores as NotifierStores
from shared.db import Register, Repository
from shared.db.keys.roots import Folders
from shared.db.keys.tree import DoesNotOpen, Tree, decrypt, open_tree
from shared.db.records import Records
from shared.db.unit_of_work import UnitOfWork
from shared.http.idempotency import Idempotency
from tests.attack.disks import Found, Loot
from tests.attack.parts import Part

_FORMAT = 1
_STORES: dict[str, Any] = {
    "case": CaseStores,
    "consent": ConsentStores,
    "document": DocumentStores,
    "notifier": NotifierStores,
}
_AWARE = CodecOptions[dict[str, Any]](tz_aware=True)


@dataclass(slots=True, kw_only=True)
class Ring:
    """The keys of one service that were got hold of."""

    trees: list[Tree] = field(default_factory=list)
    named: dict[str, set[bytes]] = field(default_factory=dict)

    def all(self) -> set[bytes]:
        return {key for tree in self.trees for key in tree.keys} | {key for keys in self.named.values() for key in keys}


def stores_of(service: str) -> dict[str, Records[Any]]:
    """How the records of each store of the service lie in MongoDB; nothing is connected."""
    client: MongoClient[dict[str, Any]] = MongoClient(connect=False, serverSelectionTimeoutMS=1)
    register = Register(UnitOfWork(client, names="any", service=service, roots=Folders(())))
    Idempotency(register, b"any")
    # Only what the register is told counts; each service wants other things besides.
    others = list(signature(_STORES[service].open).parameters)[1:]
    _STORES[service].open(register, **dict.fromkeys(others))
    repositories = [store for store in register.stores.values() if isinstance(store, Repository)]
    return {store.name: store.records for store in repositories}


def rings(loot: Loot, services: Iterable[str]) -> dict[str, Ring]:
    """Open every version of every tree with everything that may be a root; unwrap every key row with every tree."""
    opened = {service: Ring() for service in services}
    for found in loot.found:
        if isinstance(found.row.get("sealed"), bytes) and "versions" in found.row:
            for service in loot.services_of(found):
                for secret in loot.secrets:
                    with suppress(DoesNotOpen, KeyError, TypeError, ValueError):
                        opened[service].trees.append(open_tree(service, found.row, secret))
    for found in loot.found:
        if isinstance(found.row.get("wrapped"), bytes):
            for service in loot.services_of(found):
                for tree in opened[service].trees:
                    with suppress(DoesNotOpen):
                        key = tree.unwrap(found.row)
                        opened[service].named.setdefault(str(found.row["_id"]), set()).add(key)
    return opened


def parts(loot: Loot, opened: dict[str, Ring]) -> Iterator[Part]:
    """Every sealed part, opened where any key opens it in its place."""
    stores = {service: stores_of(service) for service in opened}
    more = {
        service: [*ring.all(), *(one for one in loot.secrets if len(one) == 32)] for service, ring in opened.items()
    }
    seen: set[bytes] = set()
    for found in loot.found:
        sealed = found.row.get("personal")
        if not isinstance(sealed, bytes) or len(sealed) < 3 or sealed[0] != _FORMAT or sealed in seen:
            continue
        seen.add(sealed)
        end = 2 + sealed[1]
        name = sealed[2:end].decode("utf-8", "replace")
        plain = None
        service, store = loot.service_of(found), loot.store_of(found)
        for service_, store_, context in _contexts(loot, found, stores):
            keys = [*opened[service_].named.get(name, ())]
            # What a file alone has may be of another installation, and there are many of those in a test run.
            keys += more[service_] if found.space else ()
            plain = _decrypted(sealed[end:], keys, context)
            if plain is not None:
                service, store = service_, store_
                break
        yield Part(
            place=found.place,
            service=service,
            store=store,
            row=found.row,
            key=name,
            opened=None if plain is None else bson.decode(plain, _AWARE),
        )


def _contexts(loot: Loot, found: Found, stores: dict[str, dict[str, Records[Any]]]) -> Iterator[tuple[str, str, bytes]]:
    """What the part may be bound to: its place, or any place where that isn't known."""
    known = loot.store_of(found)
    for service in loot.services_of(found):
        for store, records in stores[service].items():
            if known in (None, store):
                yield service, store, records._context(found.row)


def _decrypted(sealed: bytes, keys: Iterable[bytes], context: bytes) -> bytes | None:
    for key in keys:
        with suppress(DoesNotOpen):
            return decrypt(key, sealed, context)
    return None
