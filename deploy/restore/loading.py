"""Putting one service's databases, objects and root back as the archives have them; whatever was there goes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from deploy.backup.archives import Reader
from deploy.backup.data import WITH_OBJECTS, object_name
from deploy.backup.installation import Member
from deploy.backup.keys import root_name
from deploy.backup.renewed import CASES
from deploy.restore import renewed
from deploy.restore.errors import CannotRestore
from services.document.store.files import connect
from shared.clock import LONG_AGO
from shared.db.keys.tree import TREE_ID
from shared.db.objects import ObjectStore
from shared.service.restores import RESTORES

_RAW: Final = CodecOptions[Any](document_class=RawBSONDocument)
_BATCH: Final = 500
_VAULT: Final = "vault/"
#: With a record in one of these a service has been used. (A gate alone may be of an old message in a queue.)
_USED: Final = (
    "cases", "safeguarding", "documents", "paper_files", "papers_to_certify", "consents", "requests", "organisations",
    "notifications",
)  # fmt: skip


def require_unused(member: Member) -> None:
    """Raises CannotRestore where the service has a case, or anything else that people entered."""
    database = member.client[member.database]
    if used := [name for name in _USED if database[name].find_one({}, {"_id": 1}) is not None]:
        raise CannotRestore(
            f"The {member.service} service's databases aren't empty ({', '.join(used)}). Nothing was restored: a "
            "restore is for new servers, or for ones whose databases were dropped."
        )


def load(member: Member, data: Reader, keys: Reader) -> None:
    """Replace what the service has by what the archives have. May be run again."""
    _load_root(member, keys)
    for name in member.client[member.vault].list_collection_names():
        member.client[member.vault].drop_collection(name)
    for name in member.client[member.database].list_collection_names(filter={"type": "collection"}):
        if name != RESTORES:
            member.client[member.database].drop_collection(name)
    for reader in (data, keys):
        for path in reader.names:
            service, _, name = path.partition("/")
            if service == member.service and name.endswith(".bson") and not name.startswith(CASES):
                _load_collection(member, reader, path, name.removesuffix(".bson"))
    # Of processes that are gone.
    steps = member.client[member.database]["steps"]
    steps.update_many({"lease": {"$ne": None}}, {"$set": {"lease": None, "lease_until": LONG_AGO}})
    renewed.put_in_place(member, keys)
    if member.service in WITH_OBJECTS:
        _load_objects(member, data, renewed.of_removed_documents(member, keys))


def _load_collection(member: Member, reader: Reader, path: str, name: str) -> None:
    in_vault = name.startswith(_VAULT)
    database = member.client[member.vault if in_vault else member.database]
    rows = database.get_collection(name.removeprefix(_VAULT), codec_options=_RAW)
    documents = reader.raw_documents(path)
    while batch := [RawBSONDocument(raw) for raw in islice(documents, _BATCH)]:
        rows.insert_many(batch)


def _load_root(member: Member, keys: Reader) -> None:
    (tree,) = keys.documents(f"{member.service}/{_VAULT}{TREE_ID}.bson")
    member.roots.replace(str(tree["store"]), str(tree["root"]), keys.read(root_name(member.service)))


def hand_over_roots(member: Member) -> None:
    """Give each file of a root to the owner of its folder: in containers, root restores for the services' own users."""
    for place in member.settings.roots:
        owner = place.stat()
        for path in place.iterdir():
            if path.stat().st_uid != owner.st_uid:
                os.chown(path, owner.st_uid, owner.st_gid)


def _load_objects(member: Member, data: Reader, is_removed: Callable[[str], bool]) -> None:
    store = ObjectStore("objects", client=connect(member.settings), bucket=member.settings.bucket)
    for key in sorted(set(store.keys())):
        store.purge(key)
    for path in _objects(member, data):
        key = path.removeprefix(object_name(member, ""))
        if not is_removed(key):
            with data.opened(path) as source:
                store.put(key, source)


def _objects(member: Member, data: Reader) -> Iterator[str]:
    return (name for name in data.names if name.startswith(object_name(member, "")))
