"""The key vault: named keys (a case id, or a name of ours), each wrapped in the service's key tree, and what they open.

A sealed part is bound to where it stands (its context) and opens nowhere else. Opening what was sealed under a key that
was destroyed raises `KeyGone`; a part that should open and doesn't raises `Altered`.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any, Final

import bson
from bson.codec_options import CodecOptions
from pymongo import ASCENDING, DESCENDING, MongoClient, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from shared.clock import utc_now
from shared.db.keys.cache import KeyCache
from shared.db.keys.errors import Altered, KeyGone, KeyReplaced, KeysAway
from shared.db.keys.roots import PlaceAway, RootMissing, RootStore
from shared.db.keys.starting import find_tree, open_by_any_copy
from shared.db.keys.tree import (
    BUCKETS,
    KEY_BYTES,
    TREE_ID,
    DoesNotOpen,
    Row,
    Tree,
    all_of,
    bucket_of,
    decrypt,
    encrypt,
    number_of,
    owner_of,
)
from shared.db.transactions import TryAgain, insert_new, transact
from shared.ops.logs import log, where

OFFICE_KEY: Final = "office"
_MAC_KEY: Final = "mac"
_MAC_BYTES: Final = 16
_FORMAT: Final = 1
_TRIES: Final = 5
_REMEMBERED: Final = timedelta(days=30)
_AWARE: Final = CodecOptions[dict[str, Any]](tz_aware=True)

# The keys that this thread's transaction makes. No other may use them before it commits.
_made: ContextVar[dict[str, bytes] | None] = ContextVar("keys_made", default=None)


class Vault:
    """Keys by name, and what they open.

    `tree`, `buckets` and `keys` are described in `shared/db/keys/tree.py`. `doomed` has the names of keys that were
    deleted, until the root is destroyed that they hung on.
    """

    def __init__(self, client: MongoClient[Row], database: str, *, service: str, roots: RootStore) -> None:
        self.service = service
        self.roots = roots
        self.client = client
        self.trees = client[database]["tree"]
        self.buckets = client[database]["buckets"]
        self.keys = client[database]["keys"]
        self.doomed = client[database]["doomed"]
        self.cache = KeyCache()
        self._mac_key = b""

    # Starting

    def start(self, *, wait_seconds: float = 0) -> None:
        """Open the tree. A process that may write the roots makes it where the database has none yet; one that may not
        waits for the tree for so many seconds.

        Raises RootsElsewhere where the folders aren't this database's, NoTreeYet, KeysAway while they can't be used.
        """
        try:
            document = find_tree(self.service, self.trees, self.buckets, self.roots, wait_seconds=wait_seconds)
        except (PlaceAway, FileExistsError) as error:
            log.error("keys.away", **where(error))
            raise KeysAway from error
        self.opened(document)
        if missing := [name for name in (OFFICE_KEY, _MAC_KEY) if not self.has_key(name)]:
            # Another process that starts at the same moment makes the same.
            with suppress(DuplicateKeyError):
                transact(self.client, lambda session: self.make(missing, session))
        self._mac_key = self._key(_MAC_KEY)

    def prepare(self) -> None:
        """Make the indexes by which a rotation finds its keys, and old rows of destroyed keys go."""
        self.keys.create_index([("bucket", ASCENDING)])
        self.doomed.create_index([("gone_at", ASCENDING)], expireAfterSeconds=int(_REMEMBERED.total_seconds()))

    # The tree

    def document(self) -> Row:
        """The tree's document, as a majority has it. Raises KeysAway where there is none."""
        document = self.trees.find_one({"_id": TREE_ID})
        if document is None:
            log.error("keys.no_tree")
            raise KeysAway
        return document

    def tree(self, *, fresh: bool = False) -> Tree:
        """The tree, opened; the one from a few seconds ago unless `fresh`. Raises KeysAway."""
        tree = None if fresh else self.cache.tree()
        return tree or self.opened(self.document())

    def opened(self, document: Row) -> Tree:
        """The tree of this document, or of one that has followed it. Raises KeysAway."""
        while True:
            try:
                tree = open_by_any_copy(self.service, document, self.roots)
            except (PlaceAway, RootMissing, DoesNotOpen) as error:
                newer = self.document()
                if newer["root"] == document["root"]:
                    log.error("keys.away", **where(error))
                    raise KeysAway from error
                document = newer
            else:
                self.cache.put_tree(tree)
                return tree

    # Named keys

    def has_key(self, name: str, session: ClientSession | None = None) -> bool:
        """Whether there is a key of that name, whatever its number."""
        return self.keys.count_documents(all_of(name), limit=1, session=session) > 0

    def names_below(self, name: str) -> list[str]:
        """The keys of the same owner that came before this one."""
        found = self.keys.find(all_of(owner_of(name)), {"_id": 1})
        return [str(row["_id"]) for row in found if number_of(str(row["_id"])) < number_of(name)]

    def make(self, names: Iterable[str], session: ClientSession) -> None:
        """Make the keys of these names, which have none yet, in this transaction. Nothing sees them before it commits.

        Raises DuplicateKeyError for a name that has one, TryAgain while a bucket's key is changed.
        """
        tree, keys = self.tree(), {name: secrets.token_bytes(KEY_BYTES) for name in names}
        buckets = {bucket_of(name) for name in keys}
        # The write conflicts with a rotation, which would not see the new key.
        counted = [UpdateOne({"_id": n, "version": tree.versions[n]}, {"$inc": {"made": 1}}) for n in sorted(buckets)]
        if counted and self.buckets.bulk_write(counted, session=session).matched_count != len(buckets):
            self.tree(fresh=True)
            raise TryAgain
        now = utc_now()
        rows = [{"_id": name, "made_at": now, **tree.wrap(name, key)} for name, key in keys.items()]
        insert_new(self.keys, rows, session)
        pending = _made.get()
        if pending is not None:
            pending |= keys

    @contextmanager
    def making(self) -> Iterator[None]:
        """Around one attempt at a transaction: the keys that it makes are usable in it."""
        token = _made.set({})
        try:
            yield
        finally:
            _made.reset(token)

    def doom(self, name: str, session: ClientSession, then: tuple[str, str, str | None] | None = None) -> bool:
        """Delete the keys of that name, whatever their number, and have the root destroyed that they hang on.

        True as long as that hasn't happened: until then nothing may say that they are destroyed. False where there
        never was such a key, or its root is gone. then: the step that is asked for once it is gone (kind, key, case).
        """
        for row in self.keys.find(all_of(name), {"_id": 1}, session=session):
            self.doom_one(str(row["_id"]), session)
        steps = [] if then is None else [list(then)]
        waiting, change = {**all_of(name), "gone_at": None}, {"$addToSet": {"then": {"$each": steps}}}
        return self.doomed.update_many(waiting, change, session=session).matched_count > 0

    def doom_one(self, name: str, session: ClientSession) -> bool:
        """As `doom`, of the key with just this number: its owner's others stay. Whether there was one."""
        self.drop(name)
        if self.keys.delete_one({"_id": name}, session=session).deleted_count == 0:
            return False
        row = {"bucket": bucket_of(name), "at": utc_now(), "then": [], "gone_at": None}
        self.doomed.replace_one({"_id": name}, row, upsert=True, session=session)
        return True

    def names(self, *, since: str, before: str) -> list[str]:
        """The names of keys from `since` on that sort before `before`."""
        return [str(row["_id"]) for row in self.keys.find({"_id": {"$gte": since, "$lt": before}}, {"_id": 1})]

    def is_doomed(self, name: str) -> bool:
        """Whether a key of that name is deleted, and whoever had the root and an old copy could still open it."""
        return self.doomed.count_documents({**all_of(name), "gone_at": None}, limit=1) > 0

    def was_doomed(self, name: str, session: ClientSession) -> bool:
        """Whether the key of that name was deleted, and its row isn't forgotten yet."""
        return self.doomed.count_documents({"_id": name}, limit=1, session=session) > 0

    def destroyed(self, name: str) -> tuple[int, datetime] | None:
        """The generation that a key of that name hung on last, and when its root was destroyed; None: not yet."""
        gone = {**all_of(name), "gone_at": {"$ne": None}}
        row = self.doomed.find_one(gone, sort=[("generation", DESCENDING)])
        return None if row is None else (int(row["generation"]), row["gone_at"])

    def drop(self, name: str) -> None:
        """Forget what this process has in memory of that key."""
        self.cache.drop(name)

    def _key(self, name: str) -> bytes:
        """The key of that name. Raises KeyGone, KeyReplaced, KeysAway."""
        pending = _made.get()
        if pending and name in pending:
            return pending[name]
        if (cached := self.cache.key(name)) is not None:
            return cached
        tree = self.tree()
        for _ in range(_TRIES):
            row = self.keys.find_one({"_id": name})
            if row is None:
                raise KeyReplaced if self.has_key(owner_of(name)) else KeyGone
            if not tree.wraps(row):
                # The row or the tree is from before a rotation.
                tree = self.tree(fresh=True)
                if not tree.wraps(row):
                    continue
            try:
                key = tree.unwrap(row)
            except DoesNotOpen as error:
                log.error("keys.key_altered", **where(error))
                raise KeysAway from error
            self.cache.put_key(name, key)
            return key
        log.error("keys.key_of_another_tree")
        raise KeysAway

    # Sealing

    def seal(self, value: Mapping[str, Any], name: str, context: bytes) -> bytes:
        """The value under the key of that name, bound to this context. Raises KeyGone where there is none."""
        label = name.encode()
        sealed = encrypt(self._key(name), bson.encode(value), context)
        return bytes((_FORMAT, len(label))) + label + sealed

    def open(self, sealed: bytes, context: bytes) -> dict[str, Any]:
        """What was sealed with this context.

        Raises KeyGone when its key is gone, KeyReplaced when its case has another key now, Altered if it doesn't open.
        """
        key = self._key(self.key_named_in(sealed))
        try:
            return bson.decode(decrypt(key, sealed[2 + sealed[1] :], context), _AWARE)
        except DoesNotOpen as error:
            raise Altered from error

    def key_named_in(self, sealed: bytes) -> str:
        """The name of the key that a sealed part says it is under. Raises Altered where it says none."""
        if len(sealed) <= 2 or sealed[0] != _FORMAT:
            raise Altered
        return sealed[2 : 2 + sealed[1]].decode("utf-8", "replace")

    def mac(self, context: bytes) -> bytes:
        """A code that only this service can make for this context."""
        if not self._mac_key:
            raise RuntimeError("the vault isn't started")
        return hmac.digest(self._mac_key, context, "sha256")[:_MAC_BYTES]

    def digest(self, value: bytes, name: str) -> str:
        """A digest under the key of that name, in hex: without the key no one can try what it is of. Raises KeyGone."""
        return hmac.digest(self._key(name), b"digest:" + value, "sha256").hex()

    # Searching

    def search_key(self, name: str, session: ClientSession) -> bytes:
        """The key of a case's search hashes. Writes to its key, so that a rotation meanwhile undoes the transaction.

        Raises KeyGone, TryAgain.
        """
        tree, bucket = self.tree(), bucket_of(name)
        pending = _made.get()
        if not (pending and name in pending):
            wrapped = {"_id": name, "version": tree.versions[bucket]}
            if self.keys.update_one(wrapped, {"$inc": {"hashed": 1}}, session=session).matched_count == 0:
                if not self.has_key(name):
                    raise KeyGone
                self.tree(fresh=True)
                raise TryAgain
        return tree.search_key(bucket)

    def search_keys(self, session: ClientSession) -> list[bytes]:
        """Every bucket's search key, as they are in the transaction's snapshot. Raises TryAgain."""
        tree = self.tree()
        seen = self.trees.find_one({"_id": TREE_ID}, {"generation": 1}, session=session)
        if seen is None or seen["generation"] != tree.generation:
            self.tree(fresh=True)
            raise TryAgain
        return [tree.search_key(bucket) for bucket in range(BUCKETS)]
