"""Reads the names in every bucket, as the object store lists them: versions, delete markers, unfinished uploads.

What is in an object isn't read: the account may not.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from minio import Minio
from minio.error import S3Error

from reader.findings import Findings
from reader.matching import Wanted

_AT_ONCE: Final = 1_000


def read_buckets(store: Minio, wanted: Wanted, findings: Findings, *, names: str, only_own: bool) -> None:
    """Look for the cases in the names of objects. names, only_own: as in `read_databases`."""
    for bucket in store.list_buckets():
        name = str(bucket.name)
        if only_own and not name.startswith(f"{names}-"):
            findings.unread.add("buckets of other installations")
            continue
        findings.leftover(wanted.named_in(name.encode()), "<name-of-a-bucket>")
        try:
            _read_bucket(store, name, wanted, findings, f"objects.{name.removeprefix(f'{names}-')}")
        except S3Error as error:
            # Removed since they were listed: nothing is in it.
            if error.code != "NoSuchBucket":
                raise
        findings.buckets += 1


def _read_bucket(store: Minio, name: str, wanted: Wanted, findings: Findings, place: str) -> None:
    keys = _keys(store, name)
    while some := list(islice(keys, _AT_ONCE)):
        findings.objects += len(some)
        if named := wanted.named_in("\n".join(some).encode()):
            among = Wanted(named)
            for key in some:
                findings.leftover(among.named_in(key.encode()), place)


def _keys(store: Minio, bucket: str) -> Iterator[str]:
    for item in store.list_objects(bucket, recursive=True, include_version=True):
        yield str(item.object_name)
    after = None
    while True:
        # The S3 call is public, minio-py's wrapper isn't. More uploads of the last key are passed over: same name.
        listed = store._list_multipart_uploads(bucket, key_marker=after)
        yield from (str(upload.object_name) for upload in listed.uploads)
        if not listed.is_truncated or listed.next_key_marker in (None, after):
            return
        after = listed.next_key_marker
