"""What the key tree's first version stored is still read, and written back as it was (see `stored`).

Where the name or type of a field changes, adapt the store's line in `stored/read_<service>.py`; a change of the kernel
is for `stored/opening.py`. No stored file changes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import Stack
from shared.db import Repository
from shared.events import SERVICES
from tests.contracts.stored.databases import let_tests_rewrite_the_ledger
from tests.contracts.stored.ids import CASE, ERASED
from tests.contracts.stored.opening import (
    BUCKETS,
    HERE,
    Opened,
    Row,
    erase,
    files_of,
    found,
    keep,
    load,
    open_service,
    read,
    rows_of,
    written_again,
)
from tests.contracts.stored.read_case import CASE_STORES
from tests.contracts.stored.read_consent import CONSENT_STORES
from tests.contracts.stored.read_document import DOCUMENT_STORES
from tests.contracts.stored.read_kernel import KERNEL
from tests.contracts.stored.read_notifier import NOTIFIER_STORES
from tests.contracts.stored.reading import Reading, parts, with_type

READINGS: dict[str, dict[str, Reading]] = {
    "case": {**KERNEL, **CASE_STORES},
    "document": {**KERNEL, **DOCUMENT_STORES},
    "consent": {**KERNEL, **CONSENT_STORES},
    "notifier": {**KERNEL, **NOTIFIER_STORES},
}
# One process loads and reads them all: each set of names on the servers takes a while to make.
pytestmark = pytest.mark.xdist_group("stored")

#: Set once for a store that was added: its golden records are made from the samples of its Reading.
KEEP_SETTING = "FMN_KEEP_GOLDEN"
KEEP = os.environ.get(KEEP_SETTING) == "1"

_EACH = [(name, store) for name, readings in READINGS.items() for store in readings]

Opens = Callable[[str], tuple[Opened, dict[str, list[Row]]]]


@pytest.fixture(scope="module")
def opens(stack: Stack, worker_id: str, tmp_path_factory: pytest.TempPathFactory) -> Opens:
    """Opens a service on databases of its own that hold what is stored and nothing else; also the rows by store."""
    provided = stack.provision(f"stored{worker_id}")
    let_tests_rewrite_the_ledger(stack, provided)
    folder: Path = tmp_path_factory.mktemp("secrets")
    opened: dict[str, Opened] = {}

    def open_and_load(name: str) -> tuple[Opened, dict[str, list[Row]]]:
        if name not in opened:
            opened[name] = open_service(name, provided, folder)
        return opened[name], load(opened[name])

    return open_and_load


def expected_of(name: str) -> dict[str, list[Any]]:
    """What each row holds once it is opened, by store."""
    return dict(json.loads((HERE / name / "expected.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", SERVICES)
def test_every_store_has_stored_records_and_a_reading(name: str, opens: Opens) -> None:
    opened, _ = opens(name)
    registered = set(opened.registered)
    missing = registered - set(files_of(name))
    for store in sorted(missing) if KEEP else ():
        if samples := READINGS[name][store].samples:
            keep(opened, store, samples)
            missing.remove(store)
    how = f"give their Reading `samples`, and run this test once with {KEEP_SETTING}=1"
    assert missing == set(), f"these stores have no golden records: {how}"
    assert registered == set(READINGS[name])
    assert registered - BUCKETS == set(expected_of(name))


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_stored_opens_as_it_always_did(name: str, opens: Opens) -> None:
    opened, rows = opens(name)
    contents = {store: [read(opened, store, row) for row in rows[store]] for store in rows if store not in BUCKETS}
    assert contents == expected_of(name)


@pytest.mark.parametrize(("name", "store"), _EACH)
def test_a_service_reads_what_is_stored(name: str, store: str, opens: Opens) -> None:
    opened, rows = opens(name)
    reading = READINGS[name][store]
    for row, told in zip(rows[store], reading.told, strict=True):
        model = reading.read(opened, row) if reading.read else opened.registered[store].get(row["_id"])
        if told is None:
            assert model is None
        else:
            assert model is not None
            assert with_type(parts(model, told)) == with_type(told)


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_repository_has_read_and_writes_back_is_stored_as_it_was(name: str, opens: Opens) -> None:
    opened, rows = opens(name)
    lost = {}
    for store in rows:
        if not isinstance(opened.registered[store], Repository):
            continue
        for row, was in zip(rows[store], expected_of(name)[store], strict=True):
            now = written_again(opened, store, row)
            # What is written anew may have more in it.
            if now is not None and (changed := changes(was, now)):
                lost[store, row["_id"]] = changed
    assert lost == {}


@pytest.mark.parametrize("name", SERVICES)
def test_an_erasure_finds_what_is_stored(name: str, opens: Opens) -> None:
    opened, rows = opens(name)
    for store in set(rows) - BUCKETS:
        for case_id in (CASE, ERASED):
            disposal, count = found(opened, store, case_id)
            of_case = [row for row in rows[store] if row.get("case_id") == case_id]
            sealed = [row for row in of_case if "personal" in row and "own_key" not in row]
            there = {"erase": of_case, "late": of_case, "strip": sealed}.get(disposal, [])
            assert (store, count) == (store, len(there))
            if disposal in ("erase", "strip"):
                assert erase(opened, store, case_id) == 0
        if disposal == "strip":
            assert rows_of(opened, store).count_documents({}) == len(rows[store])


def changes(was: Row, now: Row) -> set[str]:
    """The fields of a row that have another value now, or are no longer sealed, or in clear, as they were."""
    found = {name for part in ("clear", "personal") for name in was[part] if now[part].get(name) != was[part][name]}
    return found if now["case_id"] == was["case_id"] else {*found, "case_id"}
