"""What a parser looks at: bytes that can be read at any place, in memory or not."""

from __future__ import annotations

from typing import Protocol


class Seekable(Protocol):
    """A file's bytes. size: how many there are. `read` gives fewer than asked for only at the end."""

    size: int

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def tell(self) -> int: ...

    def read(self, size: int = -1, /) -> bytes | None: ...


def read_at(source: Seekable, place: int, size: int) -> bytes:
    """At most `size` bytes from `place`, fewer only at the end of the file."""
    source.seek(place)
    return source.read(size) or b""


def read_whole(source: Seekable) -> bytes:
    """Everything. For readers that want a file in one piece."""
    return read_at(source, 0, source.size)
