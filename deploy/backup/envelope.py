"""The operator's key pair: what only the private half opens. Tink's hybrid encryption (HPKE: X25519, AES-256-GCM).

The private half, the *identity*, is needed for a restore alone, and belongs on no machine of the deployment.
"""

from __future__ import annotations

import os
from pathlib import Path

import tink
from tink import hybrid, json_proto_keyset_format, secret_key_access

from deploy.backup.errors import BadArchive, CannotBackUp
from shared.ops.files import sync_folder, write_all

hybrid.register()

PUBLIC_SUFFIX = ".pub"


def make_key_pair(identity: Path) -> Path:
    """Write a new identity, and beside it its public half; the path of that. Raises FileExistsError, OSError."""
    handle = tink.new_keyset_handle(hybrid.hybrid_key_templates.DHKEM_X25519_HKDF_SHA256_HKDF_SHA256_AES_256_GCM)
    private = json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN)
    public = json_proto_keyset_format.serialize_without_secret(handle.public_keyset_handle())
    path = identity.with_name(identity.name + PUBLIC_SUFFIX)
    # The public half is written last: where it is, the identity is whole.
    _write_new(identity, private)
    _write_new(path, public)
    sync_folder(identity.parent)
    return path


def seal(plain: bytes, public_key: Path, context: bytes) -> bytes:
    """Encrypt for the holder of the identity, bound to this context. Raises CannotBackUp for a key that isn't one."""
    try:
        handle = json_proto_keyset_format.parse_without_secret(public_key.read_text(encoding="utf-8"))
        sealed: bytes = handle.primitive(hybrid.HybridEncrypt).encrypt(plain, context)
    except (OSError, UnicodeDecodeError, tink.TinkError) as error:
        raise CannotBackUp(
            f"The public key {public_key} (FMN_BACKUP_KEY) can't be used: `forgetmenot backup-key FILE` makes one."
        ) from error
    return sealed


def open_sealed(sealed: bytes, identity: Path, context: bytes) -> bytes:
    """What `seal` encrypted with this context. Raises BadArchive."""
    try:
        handle = json_proto_keyset_format.parse(identity.read_text(encoding="utf-8"), secret_key_access.TOKEN)
        decrypt = handle.primitive(hybrid.HybridDecrypt)
    except (OSError, UnicodeDecodeError, tink.TinkError) as error:
        raise BadArchive(f"The identity {identity} can't be read, or is no private key of `backup-key`.") from error
    try:
        plain: bytes = decrypt.decrypt(sealed, context)
    except tink.TinkError as error:
        raise BadArchive(
            f"The key archive doesn't open with {identity}: it was made for another key, or it was changed."
        ) from error
    return plain


def _write_new(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write_all(descriptor, text.encode())
    finally:
        os.close(descriptor)
