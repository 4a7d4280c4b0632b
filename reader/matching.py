"""Finds ids in raw bytes: as text with dashes or without, in either case, and as the sixteen bytes of a UUID."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from uuid import UUID

# Looking for each form of each id costs a fifth of a millisecond a megabyte; reading all ids out costs 25.
_FEW: Final = 40
_DASHED: Final = re.compile(rb"(?=([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}))")
_BARE: Final = re.compile(rb"(?=([0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}))")
# BSON's binary element: its length, its subtype (generic, old or new UUID), its bytes.
_BINARY: Final = re.compile(rb"\x10\x00\x00\x00[\x00\x03\x04](.{16})", re.DOTALL)


class Wanted:
    """The ids that one pass looks for."""

    def __init__(self, ids: Iterable[str]) -> None:
        """ids: UUIDv7s, lower case with dashes."""
        self.ids = frozenset(ids)
        self._dashed = {id.encode(): id for id in self.ids}
        self._bare = {id.replace("-", "").encode(): id for id in self.ids}
        self._binary = {UUID(id).bytes: id for id in self.ids}

    def named_in(self, raw: bytes) -> set[str]:
        """Those of the ids that these bytes name. What is compressed, encrypted or encoded otherwise isn't seen."""
        text = raw.lower()
        if len(self.ids) <= _FEW:
            in_text = {id for forms in (self._dashed, self._bare) for form, id in forms.items() if form in text}
            return in_text | {id for form, id in self._binary.items() if form in raw}
        found = {self._dashed.get(form) for form in _DASHED.findall(text)}
        found |= {self._bare.get(form) for form in _BARE.findall(text)}
        found |= {self._binary.get(form) for form in _BINARY.findall(raw)}
        return {id for id in found if id is not None}
