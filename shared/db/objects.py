"""A bucket: object keys are `<case id>/<document id>/<version>`, nothing overwritten, no names, no user metadata.

Versions, delete markers and unfinished uploads are all part of what must be erased.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from minio import Minio
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from urllib3.response import BaseHTTPResponse

from shared.db.parts import PartWriter, Source
from shared.db.store import Disposal, Exported, Inventory
from shared.errors import Temporary
from shared.fields import Field

# A store removes the objects of one request one after another, and several requests at once.
_REMOVERS = 4


class ObjectStore:
    """See `Store`."""

    def __init__(self, name: str, *, client: Minio, bucket: str) -> None:
        self.name = name
        self.disposal = Disposal.ERASE
        self.clear: Mapping[str, Field] = {}
        self.client = client
        self.bucket = bucket
        self._parts = PartWriter(client, bucket)
        # Set by the service: the keys of uploads that may be unfinished. The store finds those by exact key only.
        self.unfinished_keys: Callable[[str], Iterable[str]] = lambda case_id: ()
        # Set by the service: the case's files, decrypted. The keys that open the bucket's bytes are in the records.
        self.files: Callable[[str], Iterable[Exported]] = lambda case_id: ()

    def prepare(self) -> None:
        """Nothing: the bucket is made when the servers are set up."""

    def put(self, key: str, source: Source) -> None:
        """Stream the source to a new object. Memory stays at one or two parts for any size."""
        self._parts.put(key, source)

    def open(self, key: str) -> BaseHTTPResponse:
        """The object's bytes as a stream. The caller closes it and releases its connection."""
        return self.client.get_object(self.bucket, key)

    def exists(self, key: str) -> bool:
        try:
            self.client.stat_object(self.bucket, key)
        except S3Error as error:
            if error.code in ("NoSuchKey", "NoSuchObject"):
                return False
            raise
        return True

    def purge(self, key: str) -> int:
        """Delete every version, delete marker and unfinished upload of exactly this key; how many there were."""
        return self._remove([one for one in self._listed(key) if one.name == key]) + self._abort(key)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Every key that has a version or a delete marker."""
        for item in self.client.list_objects(self.bucket, prefix, recursive=True, include_version=True):
            yield str(item.object_name)

    def found(self, case_id: str) -> int:
        return self.inventory(case_id).count

    def delete(self, case_id: str) -> int:
        return self.inventory(case_id).delete()

    def inventory(self, case_id: str) -> Inventory:
        listed, keys = self._listed(f"{case_id}/"), list(self.unfinished_keys(case_id))

        def delete() -> int:
            return sum(self._abort(key) for key in keys) + self._remove(listed)

        return Inventory(count=len(listed) + sum(len(self._uploads(key)) for key in keys), delete=delete)

    def remaining(self, case_id: str) -> int:
        return self.found(case_id)

    def export(self, case_id: str) -> Iterator[Exported]:
        yield from self.files(case_id)

    def _listed(self, prefix: str) -> list[DeleteObject]:
        """Every version and delete marker below the prefix."""
        listed = self.client.list_objects(self.bucket, prefix, recursive=True, include_version=True)
        return [DeleteObject(str(item.object_name), item.version_id) for item in listed]

    def _remove(self, items: Sequence[DeleteObject]) -> int:
        parts = [part for first in range(_REMOVERS) if (part := items[first::_REMOVERS])]
        with ThreadPoolExecutor(_REMOVERS) as removers:
            if any(removers.map(self._kept_of, parts)):
                raise Temporary("object-store-kept-some")
        return len(items)

    def _kept_of(self, items: Sequence[DeleteObject]) -> bool:
        """Remove these; whether the store kept any of them."""
        return bool(list(self.client.remove_objects(self.bucket, items)))

    def _uploads(self, key: str) -> list[str]:
        # The S3 call is public, minio-py's wrapper isn't. The prefix is the exact key: MinIO lists by no other.
        result = self.client._list_multipart_uploads(self.bucket, prefix=key)
        return [str(upload.upload_id) for upload in result.uploads if upload.object_name == key]

    def _abort(self, key: str) -> int:
        uploads = self._uploads(key)
        for upload in uploads:
            self.client._abort_multipart_upload(self.bucket, key, upload)
        return len(uploads)
