"""Microsoft's compound files ([MS-CFB]): an Office document under a password, or one of a kind that isn't kept."""

from __future__ import annotations

from typing import BinaryIO, NoReturn, cast

import olefile  # type: ignore[import-untyped]

from services.document.parsing.errors import Other, Reason, Unreadable, UnsupportedType
from services.document.parsing.seekable import Seekable

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

#: A stream at the file's root by which its program is known, in lower case.
_KNOWN = {
    "worddocument": Other.OLD_WORD,
    "workbook": Other.OLD_EXCEL,
    "book": Other.OLD_EXCEL,
    "powerpoint document": Other.OLD_POWERPOINT,
    "__properties_version1.0": Other.OUTLOOK,
}


def refuse(source: Seekable) -> NoReturn:
    """Say why the file isn't taken: Unreadable for a locked DOCX or XLSX, and UnsupportedType for all others."""
    names = _names(source)
    if "encryptedpackage" in names:  # [MS-OFFCRYPTO] 2.3: the whole ZIP, encrypted
        raise Unreadable(Reason.LOCKED)
    raise UnsupportedType(next((_KNOWN[name] for name in names if name in _KNOWN), None))


def _names(source: Seekable) -> list[str]:
    """What lies at the file's root, in lower case; nothing where it can't be read."""
    source.seek(0)
    try:
        with olefile.OleFileIO(cast(BinaryIO, source)) as compound:
            return [path[0].lower() for path in compound.listdir() if len(path) == 1]
    except Exception:  # noqa: BLE001 - it isn't taken in any case
        return []
