"""Counts, hashes and spools a file while it is being pulled through."""

from __future__ import annotations

import hashlib

from services.document.upload.errors import FileTooLarge
from services.document.upload.readable import CHUNK, Readable
from services.document.upload.spool import Spool


class Meter:
    """A readable that passes its source on and knows `size` (bytes) and `sha256` (hex) of what went by.

    `limit` is the most bytes it lets by; FileTooLarge is raised by the read that would pass it, before those bytes
    reach the reader or the spool. `ended` tells that the source was pulled to its end.
    """

    def __init__(self, source: Readable, *, limit: int, spool: Spool | None = None) -> None:
        self._source = source
        self._limit = limit
        self._spool = spool
        self._hash = hashlib.sha256()
        self.size = 0
        self.ended = False

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(CHUNK), b""))
        data = self._source.read(size)
        if not data:
            self.ended = self.ended or size > 0
            return b""
        if self.size + len(data) > self._limit:
            raise FileTooLarge(self._limit)
        self.size += len(data)
        self._hash.update(data)
        if self._spool is not None:
            self._spool.write(data)
        return data
