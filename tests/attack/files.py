"""Files of the object store, from its volumes: deleted ones lie there until the store compacts itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from services.document.model.documents import object_key
from services.document.upload.crypt import DecryptingReader
from services.document.upload.errors import Damaged
from tests.attack.parts import Part

# SeaweedFS: a volume is a superblock, then needles: cookie, id and size, the data after its own length, a checksum, the
# time; filled up to eight bytes. https://github.com/seaweedfs/seaweedfs/wiki/Components#volume
_SUPERBLOCK, _HEAD, _SIZE, _TAIL, _EVEN = 8, 16, 4, 12, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One stored file that opened: the case it is of, and the digest of its bytes."""

    case_id: str | None
    sha256: str
    size: int


def stored_in(volume: Path) -> Iterator[bytes]:
    """What was written to a volume, whether it was deleted since or not."""
    data, at = volume.read_bytes(), _SUPERBLOCK
    while at + _HEAD + _SIZE <= len(data):
        size = int.from_bytes(data[at + _HEAD - _SIZE : at + _HEAD], "big")
        begin = at + _HEAD + _SIZE
        length = int.from_bytes(data[at + _HEAD : begin], "big")
        if size and length <= size and begin + length <= len(data):
            yield data[begin : begin + length]
        whole = _HEAD + size + _TAIL
        # A needle that ends evenly gets eight bytes more.
        at += whole + _EVEN - whole % _EVEN


def opened(parts: Iterable[Part], servers: Path, names: str) -> list[File]:
    """The files that the keysets in these parts open, each once."""
    volumes = sorted((servers / "seaweedfs").glob(f"{names}-document_*.dat"))
    stored = [content for volume in volumes for content in stored_in(volume)]
    found: dict[str, File] = {}
    for part in parts:
        keyset = (part.opened or {}).get("keyset")
        if isinstance(keyset, bytes):
            place = part.row.get("place") or part.row.get("number", 0)
            key = object_key(str(part.case_id), str(part.row.get("document_id")), place).encode()
            for content in stored:
                if (plain := _decrypted(content, keyset, key)) is not None:
                    digest = hashlib.sha256(plain).hexdigest()
                    found[digest] = File(case_id=part.case_id, sha256=digest, size=len(plain))
    return list(found.values())


def _decrypted(content: bytes, keyset: bytes, key: bytes) -> bytes | None:
    reader, plain = DecryptingReader(BytesIO(content), keyset, key), b""
    try:
        while piece := reader.read(1 << 20):
            plain += piece
    except Damaged:
        return None
    return plain
