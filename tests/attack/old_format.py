"""The format before the key tree: MongoDB's explicit encryption, under a master key in the secrets folder.

Written against MongoDB's description of it (AEAD_AES_256_CBC_HMAC_SHA_512, binary subtype 6), so that it needs no
library of theirs.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from typing import Any

import bson
from bson.binary import Binary
from bson.codec_options import CodecOptions
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from tests.attack.disks import Loot
from tests.attack.parts import Part

_ENCRYPTED = 6
_IV, _TAG, _HEAD, _BLOCK = 16, 32, 18, 128


def decrypt(key: bytes, sealed: bytes, associated: bytes) -> bytes | None:
    """key: 96 bytes, the first 32 for the code and the next 32 for the cipher. None where the code is another."""
    said, tag = sealed[:-_TAG], sealed[-_TAG:]
    about = associated + said + (len(associated) * 8).to_bytes(8, "big")
    if not hmac.compare_digest(hmac.digest(key[:32], about, "sha512")[:_TAG], tag):
        return None
    cipher = Cipher(algorithms.AES(key[32:64]), modes.CBC(said[:_IV])).decryptor()
    padded = cipher.update(said[_IV:]) + cipher.finalize()
    unpadder = PKCS7(_BLOCK).unpadder()
    return unpadder.update(padded) + unpadder.finalize()


def data_keys(loot: Loot) -> dict[bytes, tuple[str, bytes]]:
    """The data keys that a master key opens, of any version of the key vaults: name and key, by the key's id."""
    opened: dict[bytes, tuple[str, bytes]] = {}
    for found in loot.found:
        if "keyMaterial" not in found.row:
            continue
        for service in loot.services_of(found):
            for master in loot.master_keys.get(service, ()):
                key = decrypt(master, bytes(found.row["keyMaterial"]), b"")
                if key is not None:
                    opened[bytes(found.row["_id"])] = (str((found.row.get("keyAltNames") or ["?"])[0]), key)
    return opened


def parts(loot: Loot) -> Iterator[Part]:
    """Every sealed part, opened where a data key of any version is known."""
    keys = data_keys(loot)
    seen: set[bytes] = set()
    for found in loot.found:
        for sealed in _sealed_in(found.row):
            if bytes(sealed) in seen:
                continue
            seen.add(bytes(sealed))
            name, key = keys.get(bytes(sealed[1:17]), ("?", None))
            plain = None if key is None else decrypt(key, bytes(sealed[_HEAD:]), bytes(sealed[:_HEAD]))
            yield Part(
                place=found.place,
                service=loot.service_of(found),
                store=loot.store_of(found),
                row=found.row,
                key=name,
                opened=None if plain is None else _value(sealed[_HEAD - 1], plain),
            )


def _sealed_in(value: Any) -> Iterator[Binary]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _sealed_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _sealed_in(inner)
    elif isinstance(value, Binary) and value.subtype == _ENCRYPTED and len(value) > _HEAD + _IV + _TAG:
        yield value


def _value(kind: int, plain: bytes) -> dict[str, Any]:
    """What was encrypted: one BSON value, given a document around it."""
    inside = bytes((kind,)) + b"v\0" + plain + b"\0"
    document = (len(inside) + 4).to_bytes(4, "little") + inside
    value = bson.decode(document, CodecOptions(tz_aware=True))["v"]
    return value if isinstance(value, dict) else {"value": value}
