"""What lies on the disks of an embedded stack at one moment: documents of every version, secrets, files."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import mmap
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from deploy.local import mongo
from deploy.local.places import Places, Ports
from shared.events import SERVICES
from tests.attack import oplog

Row = dict[str, Any]
_AWARE = CodecOptions[Row](tz_aware=True)
# How a document of ours begins after its length: with an id that is text, or a UUID.
_BEGINNING = re.compile(rb"(?:\x02|\x05)_id\x00")
# A document of the disk is worth reading if it has one of these fields.
_TELLING = (b"personal\0", b"wrapped\0", b"sealed\0", b"keyMaterial\0", b"postcode\0", b"claim\0")
_LONGEST = 16 * 2**20
_SECRET_SIZES = (32, 64, 96)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One version of one document. space: `database.collection`; None where a file doesn't say it.

    place: `oplog`, `collection` or `file`.
    """

    place: str
    space: str | None
    row: Row


@dataclass(slots=True, kw_only=True)
class Loot:
    """Everything that was taken. secrets: whatever in the run folder may be a key, by its file."""

    names: str
    found: list[Found] = field(default_factory=list)
    secrets: dict[bytes, str] = field(default_factory=dict)
    master_keys: dict[str, list[bytes]] = field(default_factory=dict)
    oplog_is_whole: bool = True
    read_in_files: int = 0
    refused: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    _seen: set[bytes] = field(default_factory=set)

    def add(self, place: str, space: str | None, row: Row) -> None:
        """Keep this version, unless the same was found elsewhere before."""
        print_of = hashlib.sha256(bson.encode(row)).digest()
        if print_of not in self._seen:
            self._seen.add(print_of)
            self.found.append(Found(place=place, space=space, row=row))
            self.counts[place] = self.counts.get(place, 0) + 1

    def service_of(self, found: Found) -> str | None:
        """The service whose database it lies in; None where that isn't known."""
        database = (found.space or "").partition(".")[0]
        name = database.removeprefix(f"{self.names}_").split("_")[0]
        return name if database.startswith(f"{self.names}_") and name in SERVICES else None

    def services_of(self, found: Found) -> tuple[str, ...]:
        service = self.service_of(found)
        return tuple(SERVICES) if service is None else (service,)

    def store_of(self, found: Found) -> str | None:
        return found.space.partition(".")[2] if found.space and self.service_of(found) else None


def take(places: Places, ports: Ports, names: str, *, also: Mapping[Path, bytes] | None = None) -> Loot:
    """Take all that is on the disks now. also: files that the thief has from somewhere else (an older copy)."""
    loot = Loot(names=names)
    run = places.run_of(names)
    files = {
        path: path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file() and path.stat().st_size < 4096
    }
    for path, content in {**files, **(also or {})}.items():
        for secret in _secrets_in(content):
            loot.secrets.setdefault(secret, str(path))
    for service in SERVICES:
        keys = (run / "secrets" / service / "master-keys").glob("*.key")
        loot.master_keys[service] = [base64.b64decode(path.read_text()) for path in keys]
    with mongo.admin_client(places, ports) as client:
        # So that the files have what the servers have.
        client.admin.command("fsync")
        _take_oplog(loot, client)
        _take_collections(loot, client)
    for path in sorted((places.servers / "mongodb").rglob("*")):
        if path.is_file() and path.stat().st_size:
            for row in rows_in(path):
                loot.read_in_files += 1
                loot.add("file", None, row)
    return loot


def _take_oplog(loot: Loot, client: MongoClient[Row]) -> None:
    entries = client["local"].get_collection("oplog.rs", codec_options=_AWARE)
    first = entries.find_one(sort=[("$natural", 1)])
    loot.oplog_is_whole = bool(first and first["o"].get("msg") == "initiating set")
    for space, row in oplog.versions(entries.find(sort=[("$natural", 1)])):
        if space.startswith(f"{loot.names}_"):
            loot.add("oplog", space, row)


def _take_collections(loot: Loot, client: MongoClient[Row]) -> None:
    for name in client.list_database_names():
        of_another = name not in ("admin", "config", "local") and not name.startswith(f"{loot.names}_")
        for collection in () if of_another else client[name].list_collection_names():
            if (name, collection) == ("local", "oplog.rs") or collection == "system.profile":
                continue
            try:
                for row in client[name].get_collection(collection, codec_options=_AWARE).find():
                    for inner in _documents(row):
                        loot.add("collection", f"{name}.{collection}" if inner is row else None, inner)
            except OperationFailure:
                # MongoDB's own keys, which its files show all the same.
                loot.refused.append(f"{name}.{collection}")


def _documents(value: Any) -> Iterator[Row]:
    """The document, and those inside it (images of updates in `config`)."""
    if isinstance(value, dict):
        if "_id" in value:
            yield value
        for inner in value.values():
            yield from _documents(inner)


def rows_in(path: Path) -> Iterator[Row]:
    """The documents of a data file or a journal that have a telling field, whether they still count or not."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for begin in _BEGINNING.finditer(data):
            at = begin.start() - 4
            size = int.from_bytes(data[at : at + 4], "little") if at >= 0 else 0
            if not 20 < size < _LONGEST or at + size > len(data) or data[at + size - 1] != 0:
                continue
            raw = data[at : at + size]
            if any(name in raw for name in _TELLING):
                try:
                    yield bson.decode(raw, _AWARE)
                except (BSONError, ValueError, OverflowError, RecursionError):
                    continue


def _secrets_in(content: bytes) -> Iterable[bytes]:
    """What in a small file may be a key: its bytes, what they decode to, the private part of a JWK."""
    candidates = [content]
    try:
        text = content.decode("ascii").strip()
    except UnicodeDecodeError:
        text = ""
    for decode in (base64.b64decode, lambda said: base64.urlsafe_b64decode(said + "=="), bytes.fromhex):
        try:
            candidates.append(decode(text))
        except (ValueError, binascii.Error):
            continue
    try:
        private = json.loads(text).get("d")
        candidates.append(base64.urlsafe_b64decode(private + "=="))
    except (ValueError, AttributeError, TypeError):
        pass
    return [one for one in candidates if len(one) in _SECRET_SIZES]
