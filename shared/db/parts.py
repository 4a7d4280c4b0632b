"""Write one object in parts while its bytes arrive: the next part is filled while others are being sent."""

from __future__ import annotations

import itertools
import mmap
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from io import BytesIO
from threading import Lock
from typing import Any, Protocol, cast

from minio import Minio
from minio.datatypes import Part

# S3's smallest part.
PART_BYTES = 5 * 1024 * 1024
_PIECE_BYTES = 256 * 1024
# An upload that has the store to itself sends so many parts while it fills another. Beside it others send each part
# before they fill the next: together they keep the store busy, and take one part of memory each.
_UNDER_WAY = 2
_NEUTRAL_TYPE = "application/octet-stream"


class Source(Protocol):
    """Bytes in order, b"" at the end."""

    def read(self, size: int, /) -> bytes: ...


class PartWriter:
    """Writes objects of one bucket. minio's own `put_object` copies each part several times and waits for each."""

    def __init__(self, client: Minio, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._slot = Lock()
        self._senders = ThreadPoolExecutor(_UNDER_WAY, thread_name_prefix="part")

    def put(self, key: str, source: Source) -> None:
        """Stream the source to a new object. What the source raises comes through; then nothing is kept."""
        buffer = _buffer()
        part = _filled(buffer, source)
        if len(part) < PART_BYTES:
            self._client.put_object(self._bucket, key, BytesIO(part), length=len(part), content_type=_NEUTRAL_TYPE)
            return
        # The S3 calls are public, minio-py's wrappers of them aren't.
        upload = self._client._create_multipart_upload(self._bucket, key, {"Content-Type": _NEUTRAL_TYPE})
        try:
            parts = self._send_parts(key, upload, buffer, part, source)
        except BaseException:
            self._client._abort_multipart_upload(self._bucket, key, upload)
            raise
        self._client._complete_multipart_upload(self._bucket, key, upload, parts)

    def _send_parts(self, key: str, upload: str, buffer: mmap.mmap, part: memoryview, source: Source) -> list[Part]:
        ahead = self._slot.acquire(blocking=False)
        spare = [_buffer() for _ in range(_UNDER_WAY)] if ahead else []
        under_way: deque[tuple[mmap.mmap, Future[str]]] = deque()
        etags: list[str] = []
        numbers = itertools.count(1)
        try:
            while part:
                if ahead:
                    sent = self._senders.submit(self._send, key, upload, part, next(numbers))
                    under_way.append((buffer, sent))
                    if not spare:
                        spare.append(_arrived(under_way, etags))
                    buffer = spare.pop()
                else:
                    etags.append(self._send(key, upload, part, next(numbers)))
                part = _filled(buffer, source)
            while under_way:
                _arrived(under_way, etags)
        finally:
            # After a failure nothing may be written any more once that is told.
            wait([sent for _, sent in under_way])
            if ahead:
                self._slot.release()
        return [Part(number, etag) for number, etag in enumerate(etags, start=1)]

    def _send(self, key: str, upload: str, part: memoryview, number: int) -> str:
        # Typed as bytes, it takes any buffer. A copy would be a third part in memory.
        content = cast(Any, part)
        etag: str = self._client._upload_part(self._bucket, key, content, None, upload, number)
        return etag


def _arrived(under_way: deque[tuple[mmap.mmap, Future[str]]], etags: list[str]) -> mmap.mmap:
    """Wait for the part that was sent first, note its ETag, and give its buffer back."""
    buffer, sent = under_way.popleft()
    etags.append(sent.result())
    return buffer


def _buffer() -> mmap.mmap:
    """Room for a part that goes back to the system at once, and not to an allocator that keeps it in pieces."""
    return mmap.mmap(-1, PART_BYTES)


def _filled(buffer: mmap.mmap, source: Source) -> memoryview:
    """The buffer, filled from the source: short only at its end."""
    whole = memoryview(buffer)
    size = 0
    while size < len(whole):
        piece = source.read(min(_PIECE_BYTES, len(whole) - size))
        if not piece:
            break
        whole[size : size + len(piece)] = piece
        size += len(piece)
    return whole[:size]
