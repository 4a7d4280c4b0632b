"""How a process finds and opens its service's key tree; the first one makes it, others wait."""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from typing import Final

from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from shared.db.keys.errors import NoTreeYet, RootsElsewhere
from shared.db.keys.roots import RootStore, new_root
from shared.db.keys.tree import BUCKETS, TREE_ID, DoesNotOpen, Row, Tree, new_tree, open_tree
from shared.ops.logs import log

_POLL_SECONDS: Final = 0.3


def find_tree(
    service: str, trees: Collection[Row], buckets: Collection[Row], roots: RootStore, *, wait_seconds: float
) -> Row:
    """The tree's document. A process that may write the roots makes it where the database has none; one that may not
    waits for the tree for so many seconds.

    Raises RootsElsewhere, NoTreeYet, PlaceAway.
    """
    if not roots.is_writable():
        return _of_these(_awaited(trees, wait_seconds), roots)
    return _of_these(trees.find_one({"_id": TREE_ID}) or _begun(service, trees, buckets, roots), roots)


def open_by_any_copy(service: str, document: Row, roots: RootStore) -> Tree:
    """The tree, by the first copy of its root that opens it. Raises PlaceAway, RootMissing, DoesNotOpen."""
    for root in roots.copies(str(document["root"])):
        with suppress(DoesNotOpen):
            return open_tree(service, document, root)
    raise DoesNotOpen


def _of_these(document: Row, roots: RootStore) -> Row:
    if roots.identity() != document["store"]:
        raise RootsElsewhere
    return document


def _awaited(trees: Collection[Row], seconds: float) -> Row:
    """The tree that another process makes."""
    until, said = time.monotonic() + seconds, False
    while (document := trees.find_one({"_id": TREE_ID})) is None:
        if time.monotonic() >= until:
            raise NoTreeYet
        if not said:
            log.info("keys.waiting_for_tree", seconds=int(seconds))
            said = True
        time.sleep(_POLL_SECONDS)
    return document


def _begun(service: str, trees: Collection[Row], buckets: Collection[Row], roots: RootStore) -> Row:
    """This database's first tree. Its root is called like the store: what crashes here can begin again."""
    identity = roots.begin(secrets.token_hex(16))
    if roots.ids() - {identity}:
        raise RootsElsewhere
    root = roots.create(identity, new_root()[1])
    tree = new_tree(service, root=identity, store=identity)
    versions = [UpdateOne({"_id": n}, {"$setOnInsert": {"version": 1}}, upsert=True) for n in range(BUCKETS)]
    buckets.bulk_write(versions, ordered=False)
    document = {"_id": TREE_ID, "fence": 0, **tree.sealed(root)}
    try:
        trees.insert_one(document)
    except DuplicateKeyError:
        return trees.find_one({"_id": TREE_ID}) or document
    return document
