"""A 20 MB scan up and down through the API, beside the bare `minio` client on the same store.

Ours: token, role, gate, consent, a `receiving` row before the first byte, the form parsed as it streams, SHA-256, an
encrypted spool in which every object of the PDF is then looked at, Tink's streaming encryption, the record in a
transaction, the idempotency key settled, the audit. The bare client puts the same bytes, unencrypted, in the parts and
with the threads it chooses by itself, and gets them back.
"""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Callable

from minio import Minio

from deploy.local.provision import Provision
from shared.ids import new_id
from tests.bench.bench import Bench
from tests.bench.results import Result, at_least
from tests.bench.scan import Form, Sender, received, scan

NAME = "scans"


def run(bench: Bench) -> list[Result]:
    system = bench.system()
    content = scan(bench.sized(20_000_000, 4_000_000))
    megabytes = len(content) / 1e6
    times = bench.sized(5, 1)
    form = Form(content)
    sender = Sender(system.provided.urls["document"], system.token("caseworker", sub="worker-one"))
    case_id = system.an_open_case()
    client, bucket = _bare(system.provided, bench.stack.ports["s3"])
    keys = (f"bench/{number}" for number in itertools.count())

    def put() -> str:
        key = next(keys)
        client.put_object(bucket, key, io.BytesIO(content), len(content))
        return key

    def get(key: str) -> None:
        answer = client.get_object(bucket, key)
        assert received(answer) == len(content)

    def rate(work: Callable[[], object]) -> Callable[[], float]:
        """MB/s of doing it so many times."""

        def measured() -> float:
            started = time.perf_counter()
            for _ in range(times):
                work()
            return megabytes * times / (time.perf_counter() - started)

        work()  # connections, caches, the store's first volumes
        return measured

    def download() -> None:
        assert sender.download(filed) == len(content)

    filed, kept = sender.upload(case_id, form, new_id()), put()
    up = bench.interleaved({"ours": rate(lambda: sender.upload(case_id, form, new_id())), "minio": rate(put)})
    down = bench.interleaved({"ours": rate(download), "minio": rate(lambda: get(kept))})
    return [
        Result(
            f"{work} a 20 MB scan through the API",
            "bare minio client, same store",
            found["ours"] / found["minio"],
            at_least(target),
            f"ours {found['ours']:.0f} MB/s, minio {found['minio']:.0f} MB/s",
        )
        for work, found, target in (("upload", up, 0.6), ("download", down, 0.45))
    ]


def _bare(provided: Provision, port: int) -> tuple[Minio, str]:
    """The document service's own account and bucket: the same store, versioned the same way."""
    secrets = provided.secrets["document"]
    access, secret = ((secrets / name).read_text() for name in ("s3-access-key", "s3-secret-key"))
    client = Minio(f"127.0.0.1:{port}", access_key=access, secret_key=secret, secure=False, region="us-east-1")
    return client, f"{provided.prefix}-document"
