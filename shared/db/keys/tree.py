"""A service's key tree: one root outside the database, 256 bucket keys sealed under it, named keys wrapped by those.

The collections of the vault's database: `tree`, one document with the bucket keys, sealed under the root that it names;
`buckets`, one document a bucket, which whoever makes a key and whoever changes the bucket's key both write to; `keys`,
the wrapped named keys. The protocol and its invariants are in docs/key-tree.md.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

BUCKETS: Final = 256
KEY_BYTES: Final = 32
TREE_ID: Final = "tree"
#: What the vault's database has for the tree. Other collections in it hang on keys, but hold none.
KEY_COLLECTIONS: Final = frozenset({"tree", "buckets", "keys", "doomed"})
_NONCE_BYTES: Final = 12
_NUMBER: Final = "#"
# The character that follows it, so that "a" to "a$" has "a" and "a#2".
_AFTER_NUMBER: Final = "$"
_SEARCH_LABEL: Final = b"forgetmenot search"

Row = dict[str, Any]


class DoesNotOpen(Exception):
    """The key, or what it should open, isn't what it was when it was sealed."""


def bucket_of(name: str) -> int:
    """The bucket of a named key: the first byte of the SHA-256 of the name, less its number."""
    return hashlib.sha256(owner_of(name).encode()).digest()[0]


def numbered(name: str, number: int) -> str:
    """The name of the key of that number: a case that lives on gets another when something has left it."""
    return name if number == 1 else f"{name}{_NUMBER}{number}"


def owner_of(name: str) -> str:
    """The name less its number: the case, of a case's key."""
    return name.partition(_NUMBER)[0]


def number_of(name: str) -> int:
    """Which of its owner's keys it is, from 1."""
    return int(name.partition(_NUMBER)[2] or 1)


def all_of(name: str) -> Row:
    """The query for every key of that name, whatever its number."""
    return {"_id": {"$gte": name, "$lt": name + _AFTER_NUMBER}}


def encrypt(key: bytes, plain: bytes, context: bytes) -> bytes:
    """AES-256-GCM under a random nonce, which comes first."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, context)


def decrypt(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """What `encrypt` sealed with this context. Raises DoesNotOpen."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
    except (InvalidTag, ValueError) as error:
        raise DoesNotOpen from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """The tree as one of its documents says, opened.

    versions: how often each bucket's key was changed. root: the id of the root. store: of the root store.
    """

    service: str
    generation: int
    root: str
    store: str
    versions: tuple[int, ...]
    keys: tuple[bytes, ...] = field(repr=False)

    # Named keys

    def wrap(self, name: str, key: bytes) -> Row:
        """A named key as a row of `keys`, less the time it was made."""
        bucket = bucket_of(name)
        wrapped = encrypt(self.keys[bucket], key, self._context(name))
        return {"bucket": bucket, "version": self.versions[bucket], "wrapped": wrapped}

    def unwrap(self, row: Mapping[str, Any]) -> bytes:
        """The named key of that row. Raises DoesNotOpen."""
        name = str(row["_id"])
        return decrypt(self.keys[bucket_of(name)], bytes(row["wrapped"]), self._context(name))

    def wraps(self, row: Mapping[str, Any]) -> bool:
        """Whether the row was wrapped under this tree's bucket key, and not under an older or a newer one."""
        return bool(self.versions[bucket_of(str(row["_id"]))] == row["version"])

    def _context(self, name: str) -> bytes:
        return f"key|{self.service}|{name}".encode()

    def search_key(self, bucket: int) -> bytes:
        """The key of the search hashes of the cases in that bucket; it changes with the bucket's."""
        return HKDFExpand(SHA256(), KEY_BYTES, _SEARCH_LABEL).derive(self.keys[bucket])

    # The document

    def next(self, *, root: str, changed: Iterable[int]) -> Tree:
        """The tree with fresh keys for these buckets, to hang on a new root."""
        fresh = {bucket: secrets.token_bytes(KEY_BYTES) for bucket in changed}
        return Tree(
            service=self.service,
            generation=self.generation + 1,
            root=root,
            store=self.store,
            versions=tuple(old + (n in fresh) for n, old in enumerate(self.versions)),
            keys=tuple(fresh.get(n, old) for n, old in enumerate(self.keys)),
        )

    def sealed(self, root: bytes) -> Row:
        """The fields of its document that say what it is; all but the fence."""
        plain = b"".join(self.keys)
        document: Row = {
            "generation": self.generation,
            "root": self.root,
            "store": self.store,
            "versions": list(self.versions),
        }
        return {**document, "sealed": encrypt(root, plain, _document_context(self.service, document))}


def new_tree(service: str, *, root: str, store: str) -> Tree:
    """A tree of fresh bucket keys."""
    return Tree(
        service=service,
        generation=1,
        root=root,
        store=store,
        versions=(1,) * BUCKETS,
        keys=tuple(secrets.token_bytes(KEY_BYTES) for _ in range(BUCKETS)),
    )


def open_tree(service: str, document: Mapping[str, Any], root: bytes) -> Tree:
    """The tree of that document. Raises DoesNotOpen."""
    plain = decrypt(root, bytes(document["sealed"]), _document_context(service, document))
    if len(plain) != BUCKETS * KEY_BYTES:
        raise DoesNotOpen
    return Tree(
        service=service,
        generation=int(document["generation"]),
        root=str(document["root"]),
        store=str(document["store"]),
        versions=tuple(int(version) for version in document["versions"]),
        keys=tuple(plain[start : start + KEY_BYTES] for start in range(0, len(plain), KEY_BYTES)),
    )


def _document_context(service: str, document: Mapping[str, Any]) -> bytes:
    versions: Sequence[int] = document["versions"]
    parts = ("tree", service, document["generation"], document["root"], document["store"], *versions)
    return "|".join(map(str, parts)).encode()
