"""The bucket, with every failure of the object store told in our own words."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from minio import Minio
from minio.error import MinioException, S3Error
from urllib3 import PoolManager, Retry, Timeout
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as Silence
from urllib3.response import BaseHTTPResponse

from services.document.model.documents import Version
from services.document.upload.crypt import DecryptingReader
from services.document.upload.readable import Readable
from shared.db import Register
from shared.db.objects import ObjectStore
from shared.errors import Temporary, Unavailable
from shared.ops.settings import Settings

_AWAY = "The store of files is away or slow. Nothing was kept; try again shortly."
_NOT_THERE = ("NoSuchKey", "NoSuchObject", "NoSuchVersion")
_CONNECTIONS = 32
_CONNECT_SECONDS = 3
_READ_SECONDS = 8
# What else a request wants of a store that has just been silent fails at once, its cleaning up most of all.
_AWAY_SECONDS = 2.0


class StoreAway(Unavailable):
    """The object store didn't do what it was asked, or whether it did isn't known."""

    def __init__(self) -> None:
        super().__init__(_AWAY)


class NoObject(Exception):
    """A record speaks of an object that isn't there."""


def connect(settings: Settings) -> Minio:
    """A client for the document service's bucket."""
    http = _Pool(
        timeout=Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
        maxsize=_CONNECTIONS,
        retries=_NotOfSilence(total=2, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504)),
    )
    return Minio(
        settings.s3_endpoint or "",
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key,
        secure=settings.s3_secure,
        region=settings.s3_region,
        http_client=http,
    )


class _NotOfSilence(Retry):
    """Tries again what was refused or cut off, not what was met with silence: a caller waits for its end."""

    def increment(self, *args: Any, **more: Any) -> Self:
        error = more.get("error")
        if isinstance(error, Silence):
            raise error
        return super().increment(*args, **more)


class _Pool(PoolManager):
    """Connections to the store; for a moment after a silence there are none."""

    _away_until = 0.0

    def urlopen(self, *args: Any, **more: Any) -> BaseHTTPResponse:
        if time.monotonic() < self._away_until:
            raise HTTPError("the store was silent a moment ago")
        try:
            return super().urlopen(*args, **more)
        except Silence:
            self._away_until = time.monotonic() + _AWAY_SECONDS
            raise


class Files:
    """Objects by their exact keys."""

    def __init__(self, register: Register, client: Minio, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self.objects: ObjectStore = register.objects("objects", client=client, bucket=bucket)

    def put(self, key: str, source: Readable) -> None:
        """Stream the source to a new object. What the source raises comes through; else StoreAway."""
        with _told():
            self.objects.put(key, source)

    def purge(self, key: str) -> None:
        """Delete everything there is of this key. Raises StoreAway, or Temporary when some was kept."""
        with _told():
            self.objects.purge(key)

    def purge_under(self, prefix: str) -> None:
        """Delete every object whose key begins so (with a slash at its end), and read back that nothing is left.

        Raises StoreAway, or Temporary when something is.
        """
        for key in sorted(self.keys_under(prefix)):
            self.purge(key)
        if self.keys_under(prefix):
            raise Temporary("object-store-kept-some")

    def keys_under(self, prefix: str) -> set[str]:
        """Every key that begins so (with a slash at its end), and has a version or a delete marker."""
        with _told():
            return set(self.objects.keys(prefix))

    def exists(self, key: str) -> bool:
        with _told():
            return self.objects.exists(key)

    def open(self, version: Version) -> OpenFile:
        """The version's bytes, decrypted as they are read. Raises NoObject or StoreAway."""
        key = version.object_key
        try:
            with _told():
                response = self.objects.open(key)
        except S3Error as error:
            raise NoObject from error
        return OpenFile(response, version)

    def objects_and_times(self) -> Iterator[tuple[str, datetime | None]]:
        """Every key that has a version or a delete marker, and when that was written."""
        listed = self._client.list_objects(self._bucket, recursive=True, include_version=True)
        with _told():
            for item in listed:
                yield str(item.object_name), item.last_modified

    def check(self) -> None:
        """Ask for an object that isn't there: the store answers, and knows us."""
        with _told():
            self.objects.exists("check")


class _Undecoded:
    """The response's bytes as they come: urllib3 would pass them through a buffer of its own."""

    def __init__(self, response: BaseHTTPResponse) -> None:
        self._response = response

    def read(self, size: int = -1, /) -> bytes:
        return self._response.read(size, decode_content=False)


class OpenFile:
    """A stored file being read. Close it in every case: its connection goes back to the pool."""

    def __init__(self, response: BaseHTTPResponse, version: Version) -> None:
        self._response = response
        try:
            self._reader = DecryptingReader(_Undecoded(response), version.keyset, version.object_key.encode())
        except BaseException:
            self.close()
            raise

    def read(self, size: int, /) -> bytes:
        with _told():
            return self._reader.read(size)

    def close(self) -> None:
        self._response.close()
        self._response.release_conn()

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except S3Error as error:
        if error.code in _NOT_THERE:
            raise
        raise StoreAway from error
    except (MinioException, HTTPError) as error:
        raise StoreAway from error
