"""One pass over all servers for many cases at once, and what it found, signed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import urllib3
from minio import Minio
from minio.error import S3Error

from reader.buckets import read_buckets
from reader.databases import read_databases
from reader.findings import Finding, Findings
from reader.matching import Wanted
from reader.settings import ReaderSettings
from shared.clock import utc_now
from shared.db.unit_of_work import connect
from shared.erasure.readings import READER, READING_TYPE
from shared.ops.logs import log
from shared.security.signing import Signer

_OBJECTS_TIMEOUT_S = 30
_UNKNOWN_KEY = ("InvalidAccessKeyId", "SignatureDoesNotMatch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One case to look for, the request that it is erased by, and the digest of the receipts that there are."""

    request: str
    case_id: str
    receipts_sha256: str


class Reader:
    """Reads with the accounts that may only read. Nothing is kept between passes."""

    def __init__(self, settings: ReaderSettings) -> None:
        self._names = settings.names
        self._only_own = settings.only_own
        self._client = connect(settings.mongo_url)
        self._stores = [
            Minio(
                settings.s3_endpoint,
                *keys,
                secure=settings.s3_secure,
                region=settings.s3_region,
                http_client=urllib3.PoolManager(timeout=_OBJECTS_TIMEOUT_S, retries=False),
            )
            for keys in settings.s3_keys
        ]
        self._signer = Signer(settings.reading_jwk)
        self._one_at_a_time = threading.Lock()

    def check(self) -> None:
        """Raises the servers' own errors while one of them is away."""
        self._client.admin.command("ping")
        self._store()

    def _store(self) -> Minio:
        """The object store, by the first of the key pairs that it knows."""
        for store in self._stores[:-1]:
            try:
                store.list_buckets()
            except S3Error as error:
                if error.code not in _UNKNOWN_KEY:
                    raise
            else:
                return store
        self._stores[-1].list_buckets()
        return self._stores[-1]

    def read(self, reading: str, asked: Sequence[Asked]) -> list[str]:
        """A signed reading for each that was asked for, in that order (shared/erasure/readings.py says what it holds).

        reading: the id that the caller gave to this call. Raises the servers' own errors: a pass that couldn't read
        everything says nothing.
        """
        with self._one_at_a_time:
            at = utc_now()
            wanted = Wanted(one.case_id for one in asked)
            findings = Findings.none_yet(wanted.ids)
            names, only_own = self._names, self._only_own
            read_databases(self._client, wanted, findings, names=names, only_own=only_own)
            read_buckets(self._store(), wanted, findings, names=names, only_own=only_own)
            took = utc_now() - at
        log.info("reader.read", count=len(asked), ms=round(took.total_seconds() * 1000))
        common = {
            "iss": READER,
            "reading": reading,
            "at": at.isoformat(),
            "read": {
                "collections": findings.collections,
                "rows": findings.rows,
                "buckets": findings.buckets,
                "objects": findings.objects,
            },
            "unread": sorted(findings.unread),
        }
        return [
            self._signer.sign({**common, **_claims(one, findings.of[one.case_id])}, typ=READING_TYPE) for one in asked
        ]

    def close(self) -> None:
        self._client.close()


def _claims(asked: Asked, finding: Finding) -> dict[str, object]:
    return {
        "request": asked.request,
        "case": asked.case_id,
        "receipts_sha256": asked.receipts_sha256,
        # Places, as the certificate counts them; each with how many rows or objects.
        "found": len(finding.leftovers),
        "leftovers": dict(finding.leftovers),
        # Without counts: the number of audit rows is nothing that a family should have to interpret.
        "kept": sorted(finding.kept),
    }
