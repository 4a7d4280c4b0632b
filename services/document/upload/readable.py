"""What every stage of an upload asks of the stage before it."""

from __future__ import annotations

from typing import Protocol

CHUNK = 256 * 1024  # bytes pulled at a time: large enough that Python's share of the work is small


class Readable(Protocol):
    """Something to pull bytes from: at most `size` of them, and b"" at the end."""

    def read(self, size: int, /) -> bytes: ...
