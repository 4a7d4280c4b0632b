"""The key vault: one data key for each case in each service, wrapped by a numbered generation of the master key.

It uses MongoDB's client-side field level encryption in explicit mode. Opening a record whose key was destroyed raises
`KeyGone`; lists pass such an orphan over.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from bson.binary import Binary
from bson.codec_options import CodecOptions
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.encryption import ClientEncryption
from pymongo.errors import DuplicateKeyError, EncryptionError

OFFICE_KEY = "office"
_ALGORITHM = "AEAD_AES_256_CBC_HMAC_SHA_512-Random"
_KEY_CACHE_MS = 5_000
_NAMES_AT_ONCE = 1_000
_NO_KEY = "not all keys requested were satisfied"


class KeyGone(Exception):
    """The key that would open this record was destroyed."""


def master_keys(folder: Path) -> dict[str, Mapping[str, Any]]:
    """The generations in `folder` (`<n>.key`, 96 bytes as base64) as KMS providers `local:<n>`."""
    found = {f"local:{path.stem}": {"key": base64.b64decode(path.read_text())} for path in folder.glob("*.key")}
    if not found:
        raise FileNotFoundError(f"no master key in {folder}: run the set-up that makes the secrets")
    return dict(found)


class Vault:
    """Keys by name (a case id, or a name of ours), and what they open."""

    def __init__(self, client: MongoClient[dict[str, Any]], database: str, masters: Mapping[str, Any]) -> None:
        self._keys = client[database]["keys"]
        self._current = max(masters, key=lambda name: int(name.partition(":")[2]))
        self._encryption: ClientEncryption[dict[str, Any]] = ClientEncryption(
            kms_providers=masters,
            key_vault_namespace=f"{database}.keys",
            key_vault_client=client,
            codec_options=CodecOptions(tz_aware=True),
            key_expiration_ms=_KEY_CACHE_MS,
        )

    def prepare(self) -> None:
        """Make the index that keeps a name to one key."""
        self._keys.create_index("keyAltNames", unique=True, partialFilterExpression={"keyAltNames": {"$exists": True}})

    def create_key(self, name: str, *, again: bool = True) -> bool:
        """Make the key of that name unless it is there; whether it was made.

        again: whether to try once more where it was there and is gone.
        """
        try:
            self._encryption.create_data_key(self._current, key_alt_names=[name])
        except (DuplicateKeyError, EncryptionError):
            if self.has_key(name):
                return False
            if not again:
                raise
            return self.create_key(name, again=False)
        return True

    def has_key(self, name: str) -> bool:
        return self._keys.count_documents({"keyAltNames": name}, limit=1) > 0

    def names_before(self, when: datetime) -> Iterator[list[str]]:
        """The names of the keys that were made before then, some at a time."""
        names: list[str] = []
        for row in self._keys.find({"creationDate": {"$lt": when}}, {"keyAltNames": 1}):
            names += row.get("keyAltNames", [])
            if len(names) >= _NAMES_AT_ONCE:
                yield names
                names = []
        yield names

    def touch_key(self, name: str, session: ClientSession) -> bool:
        """Write to the key of that name, so that a transaction that destroys it conflicts with this one.

        Returns whether there is such a key.
        """
        change = {"$currentDate": {"updateDate": True}}
        return self._keys.update_one({"keyAltNames": name}, change, session=session).matched_count > 0

    def destroy_key(self, name: str) -> int:
        """Delete the key of that name; how many there were (0 or 1)."""
        return self._keys.delete_many({"keyAltNames": name}).deleted_count

    def destroy_older_key(self, name: str, when: datetime, session: ClientSession) -> int:
        """Delete the key of that name if it was made before then; how many there were (0 or 1)."""
        older = {"keyAltNames": name, "creationDate": {"$lt": when}}
        return self._keys.delete_many(older, session=session).deleted_count

    def seal(self, value: Mapping[str, Any], name: str) -> Binary:
        """The value under the key of that name. Raises KeyGone where there is none."""
        try:
            return self._encryption.encrypt(dict(value), _ALGORITHM, key_alt_name=name)
        except EncryptionError as error:
            raise self._told(error) from error

    def open(self, sealed: bytes) -> dict[str, Any]:
        """What was sealed. Raises KeyGone when its key was destroyed."""
        try:
            opened = self._encryption.decrypt(Binary(sealed, 6))
        except EncryptionError as error:
            raise self._told(error) from error
        return dict(opened)

    def close(self) -> None:
        self._encryption.close()

    @staticmethod
    def _told(error: EncryptionError) -> Exception:
        return KeyGone() if _NO_KEY in str(error) else error
