"""One case with 200 documents is erased: from the confirmation until every service's first receipt is written down.

Beside the sum of the bare deletes: as many records in as many collections, object versions and data keys as the
receipts count, one after another by the bare clients, which know beforehand what there is and never look whether it is
gone: one `delete_many` a collection, and each object version by itself. Beside the same with all objects in one bulk
delete (as ours does it) too, without a target.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from minio import Minio
from minio.deleteobjects import DeleteObject
from pymongo import MongoClient, WriteConcern

from deploy.local import mongo, objects
from shared.ids import new_id
from tests import samples
from tests.bench.bench import Bench
from tests.bench.results import REPORT_ONLY, Result, at_most
from tests.system import System

NAME = "erasing"
_DOCUMENTS = 200
_OBJECTS = "objects"

Found = Sequence[tuple[str, str, int]]


def run(bench: Bench) -> list[Result]:
    system, count = bench.system(), bench.sized(_DOCUMENTS, 10)
    found: list[Found] = []
    content = samples.pdf_scan()

    def ours() -> float:
        case_id = _a_full_case(system, content, count)
        took, counted = _erased(bench, client, system, case_id)
        found.append(counted)
        return took

    def bare(*, bulk: bool) -> float:
        return _bare(client, bench, content, found[-1], bulk=bulk)

    with mongo.admin_client(bench.stack.places, bench.stack.ports) as client:
        ours()
        bare(bulk=True)
        sides = {"ours": ours, "bare": lambda: bare(bulk=False), "bulk": lambda: bare(bulk=True)}
        seconds = bench.interleaved(sides)
        client.drop_database(f"{system.provided.prefix}_bare")
    records = sum(number for _, _, number in found[-1])
    work = f"erase one case with {_DOCUMENTS} documents: confirmation → all first receipts"
    return [
        Result(
            work,
            beside,
            seconds["ours"] / seconds[side],
            target,
            f"ours {seconds['ours']:.2f} s, bare {seconds[side]:.2f} s, {records} records in 4 services",
        )
        for side, beside, target in (
            ("bare", "sum of the bare deletes", at_most(1.5)),
            ("bulk", "the same, all objects in one bulk delete", REPORT_ONLY),
        )
    ]


def _a_full_case(system: System, content: bytes, count: int) -> str:
    """An open case with a person, who will be written to, and so many documents."""
    case_id = system.an_open_case()
    system.a_person(case_id)

    def file(_number: int) -> None:
        answer = system.a_scan(case_id, content)
        assert answer.status_code == 201, answer.text

    with ThreadPoolExecutor(4) as clients:
        list(clients.map(file, range(count)))
    return case_id


def _erased(bench: Bench, client: MongoClient[Any], system: System, case_id: str) -> tuple[float, Found]:
    """Seconds, and what the receipts say was found: (service, store, how many)."""
    request = str(system.an_erasure(case_id)["id"])
    # Frozen everywhere first, so that the confirmation begins the work and waits for none.
    time.sleep(1.0)
    receipts = client[f"{system.provided.prefix}_consent"]["receipts"]
    pipeline = [{"$match": {"operationType": "insert", "fullDocument.request": request}}]
    ended: list[float] = []
    with receipts.watch(pipeline) as stream:

        def watch() -> None:
            for _ in range(4):
                next(stream)
            ended.append(time.perf_counter())

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        started = time.perf_counter()
        system.confirm(request)
        watching.join(120)
    assert ended, "not every service answered"
    items = system.auditor.read(f"/requests/{request}/receipts")["items"]
    assert not any(store["remaining"] for item in items[:4] for store in item["stores"])
    found = [(i["service"], s["store"], s["found"]) for i in items[:4] for s in i["stores"] if s["found"]]
    return ended[0] - started, found


def _bare(client: MongoClient[Any], bench: Bench, content: bytes, found: Found, *, bulk: bool) -> float:
    case_id = new_id()
    store = objects.admin(bench.stack.places, bench.stack.ports).s3
    bucket = f"{bench.provided.prefix}-document"
    database = client.get_database(f"{bench.provided.prefix}_bare", write_concern=WriteConcern("majority", j=True))
    collections = [(database[f"{service}_{name}"], number) for service, name, number in found if name != _OBJECTS]
    for rows, number in collections:
        rows.create_index("case_id")
        rows.insert_many([{"_id": new_id(), "case_id": case_id, "personal": bytes(600)} for _ in range(number)])
    versions = _put(store, bucket, case_id, content, sum(number for _, name, number in found if name == _OBJECTS))
    started = time.perf_counter()
    for rows, number in collections:
        assert rows.delete_many({"case_id": case_id}).deleted_count == number
    if bulk:
        assert not list(store.remove_objects(bucket, [DeleteObject(key, version) for key, version in versions]))
    else:
        for key, version in versions:
            store.remove_object(bucket, key, version_id=version)
    return time.perf_counter() - started


def _put(store: Minio, bucket: str, case_id: str, content: bytes, count: int) -> list[tuple[str, str | None]]:
    def put(_number: int) -> tuple[str, str | None]:
        made = store.put_object(bucket, f"{case_id}/{new_id()}/1", io.BytesIO(content), len(content))
        return str(made.object_name), made.version_id

    with ThreadPoolExecutor(4) as clients:
        return list(clients.map(put, range(count)))
