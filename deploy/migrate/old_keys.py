"""The keys of version 0.2: data keys in the vault's database, wrapped by master keys that lie in files."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from bson.binary import UUID_SUBTYPE, Binary
from bson.codec_options import CodecOptions
from pymongo import MongoClient
from pymongo.encryption import ClientEncryption
from pymongo.errors import EncryptionError

from deploy.migrate.errors import CannotMigrate, OldKeyGone
from shared.ops.files import overwrite_and_remove, sync_folder
from shared.service.runtime import KEYS_BEFORE

Row = dict[str, Any]

#: BSON's subtype of what MongoDB's client-side encryption sealed.
SEALED_SUBTYPE: Final = 6
_NAMES_AT_ONCE: Final = 500
# The sealed bytes begin with a byte for the algorithm, and then the id of the key.
_KEY_ID: Final = slice(1, 17)


def is_sealed_before(value: Any) -> bool:
    return isinstance(value, Binary) and value.subtype == SEALED_SUBTYPE


class OldKeys:
    """The old keys of one service, in the collection where the migration keeps them."""

    def __init__(self, client: MongoClient[Row], database: str, masters: Path) -> None:
        """masters: the folder of the master keys (`<n>.key`, 96 bytes as base64)."""
        self.rows = client[database][KEYS_BEFORE]
        self._now = client[database]["keys"]
        self._client = client
        self._masters = masters
        self._encryption: ClientEncryption[Row] | None = None

    def set_aside(self) -> bool:
        """Give the old keys a collection of their own, in one step; whether there are any. Raises CannotMigrate."""
        if self._now.find_one({"_id": {"$type": "binData"}}, {"_id": 1}) is not None:
            if self._now.find_one({"_id": {"$type": "string"}}, {"_id": 1}) is not None:
                raise CannotMigrate("The vault has keys of both versions in one collection: restore it from a backup.")
            self._now.rename(KEYS_BEFORE)
        return self.rows.find_one({}, {"_id": 1}) is not None

    def names(self) -> Iterator[list[str]]:
        """The names of the old keys, some at a time."""
        names: list[str] = []
        for row in self.rows.find({}, {"keyAltNames": 1}):
            names += row.get("keyAltNames", [])
            if len(names) >= _NAMES_AT_ONCE:
                yield names
                names = []
        yield names

    def open(self, sealed: Binary) -> Row:
        """What was sealed. Raises OldKeyGone when its key was destroyed, CannotMigrate when it doesn't open."""
        try:
            return dict(self._opener().decrypt(sealed))
        except EncryptionError as error:
            if self.rows.find_one({"_id": Binary(sealed[_KEY_ID], UUID_SUBTYPE)}, {"_id": 1}) is None:
                raise OldKeyGone from error
            raise CannotMigrate(f"The master keys in {self._masters} don't open what is stored.") from error

    def close(self) -> None:
        if self._encryption is not None:
            self._encryption.close()

    def _opener(self) -> ClientEncryption[Row]:
        if self._encryption is None:
            self._encryption = ClientEncryption(
                kms_providers=self._master_keys(),
                key_vault_namespace=f"{self.rows.database.name}.{KEYS_BEFORE}",
                key_vault_client=self._client,
                codec_options=CodecOptions(tz_aware=True),
            )
        return self._encryption

    def _master_keys(self) -> Mapping[str, Any]:
        try:
            found = {f"local:{path.stem}": {"key": base64.b64decode(path.read_text())} for path in self._files()}
        except OSError as error:
            raise CannotMigrate(f"{self._masters} can't be read: {error.strerror}.") from error
        if not found:
            raise CannotMigrate(f"There is no master key in {self._masters}, and records are still sealed under it.")
        return found

    # Destroying them

    def require_destroyable(self) -> None:
        """Raises CannotMigrate where the master keys couldn't be destroyed in the end."""
        if self._files() and not os.access(self._masters, os.W_OK):
            raise CannotMigrate(
                f"{self._masters} can't be written, and the master keys in it are destroyed in the end. Run this where "
                "it can be: the runbook says how, under Upgrade."
            )

    def destroy_masters(self) -> None:
        """Overwrite the master keys and remove them: after that nothing that lies on a disk here opens an old record.

        Raises CannotMigrate.
        """
        try:
            for path in self._files():
                overwrite_and_remove(path)
            if self._masters.is_dir():
                sync_folder(self._masters)
                # Where it is a mount of its own, it stays, empty.
                with suppress(OSError):
                    self._masters.rmdir()
        except OSError as error:
            raise CannotMigrate(f"{error.filename or self._masters} can't be destroyed: {error.strerror}.") from error

    def _files(self) -> list[Path]:
        return sorted(self._masters.glob("*.key"))
