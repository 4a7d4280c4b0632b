"""One object written in parts as its bytes come: the next part is filled while the last one travels."""

from __future__ import annotations

import mmap
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from threading import BoundedSemaphore
from typing import Any, Protocol, cast

from minio import Minio
from minio.datatypes import Part

# S3's smallest part: what one upload holds in memory, twice where it may fill ahead.
PART_BYTES = 5 * 1024 * 1024
_PIECE_BYTES = 256 * 1024
# How many uploads of a process may fill ahead at once. Others wait for each part, so that many large uploads at once
# take one part of memory each and not two.
_AHEAD = 2
_NEUTRAL_TYPE = "application/octet-stream"


class Source(Protocol):
    """Bytes in order, b"" at the end."""

    def read(self, size: int, /) -> bytes: ...


class PartWriter:
    """Writes objects of one bucket. minio's own `put_object` copies each part several times and waits for each."""

    def __init__(self, client: Minio, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._slots = BoundedSemaphore(_AHEAD)
        self._senders = ThreadPoolExecutor(_AHEAD, thread_name_prefix="part")

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
        ahead = self._slots.acquire(blocking=False)
        spare = _buffer() if ahead else buffer
        under_way: Future[str] | None = None
        parts: list[Part] = []
        try:
            while part:
                if ahead:
                    under_way = self._senders.submit(self._send, key, upload, part, len(parts) + 1)
                else:
                    parts.append(Part(len(parts) + 1, self._send(key, upload, part, len(parts) + 1)))
                buffer, spare = spare, buffer
                part = _filled(buffer, source)
                if under_way is not None:
                    parts.append(Part(len(parts) + 1, under_way.result()))
                    under_way = None
        finally:
            if under_way is not None:
                # Something else failed meanwhile: nothing may be written any more once that is told.
                with suppress(Exception):
                    under_way.result()
            if ahead:
                self._slots.release()
        return parts

    def _send(self, key: str, upload: str, part: memoryview, number: int) -> str:
        # It says bytes and takes whatever is like them; a copy would be a third part in memory.
        content = cast(Any, part)
        etag: str = self._client._upload_part(self._bucket, key, content, None, upload, number)
        return etag


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
