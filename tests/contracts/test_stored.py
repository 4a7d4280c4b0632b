"""What lay in the databases before the stores were rewritten is still read, and written back as it was (see `stored`).

To have a store rewritten, adapt its line in `stored/read_<service>.py`; a change of the kernel is for
`stored/opening.py`. No stored file changes.
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
    stored,
    written_again,
)
from tests.contracts.stored.read_case import CASE_STORES
from tests.contracts.stored.read_consent import CONSENT_STORES
from tests.contracts.stored.read_document import DOCUMENT_STORES
from tests.contracts.stored.read_kernel import KERNEL
from tests.contracts.stored.read_notifier import NOTIFIER_STORES
from tests.contracts.stored.reading import Reading, parts

READINGS: dict[str, dict[str, Reading]] = {
    "case": {**KERNEL, **CASE_STORES},
    "document": {**KERNEL, **DOCUMENT_STORES},
    "consent": {**KERNEL, **CONSENT_STORES},
    "notifier": {**KERNEL, **NOTIFIER_STORES},
}
# One process loads and reads them all: each set of names on the servers takes a while to make.
pytestmark = pytest.mark.xdist_group("stored")

#: What an earlier form of a store's rows had, and today's has otherwise.
EARLIER = {("document", "projections"): {"casework", "until"}}

#: Set once for a store that was added: its golden records are made from the samples of its Reading.
KEEP_SETTING = "FMN_KEEP_GOLDEN"
KEEP = os.environ.get(KEEP_SETTING) == "1"

_EACH = [(name, store) for name, readings in READINGS.items() for store in readings]
_SAVED = [(name, store) for name, store in _EACH if READINGS[name][store].save is not None]

Opens = Callable[[str], tuple[Opened, dict[str, list[Row]]]]


@pytest.fixture(scope="module")
def opens(stack: Stack, worker_id: str, tmp_path_factory: pytest.TempPathFactory) -> Opens:
    """Opens a service on databases of its own that hold what is stored and nothing else; also the rows by store."""
    provided = stack.provision(f"stored{worker_id}")
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
    if KEEP:
        for store in missing:
            keep(opened, store, READINGS[name][store].samples)
        missing = set()
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
        model = reading.read(opened, row)
        if told is None:
            assert model is None
        else:
            assert model is not None
            assert parts(model, told) == told


@pytest.mark.parametrize(("name", "store"), _SAVED)
def test_what_is_written_back_is_stored_as_it_was(name: str, store: str, opens: Opens) -> None:
    # Given every model of the store
    opened, rows = opens(name)
    reading = READINGS[name][store]
    save = reading.save
    assert save is not None
    models = [model for row in rows[store] if (model := reading.read(opened, row)) is not None]

    # When each is written back
    for model in models:
        opened.runtime.unit_of_work.run(lambda tx, model=model: save(opened, tx, model))

    # Then the rows are the same, in clear and opened, but for their versions
    after = stored(opened, store)
    assert [unversioned(row) for row in after] == [unversioned(row) for row in rows[store]]
    assert [opened_part(opened, store, row) for row in after] == [
        {**one, "version": None} for one in expected_of(name)[store]
    ]


@pytest.mark.parametrize("name", SERVICES)
def test_a_repository_makes_the_same_row_of_what_it_has_read(name: str, opens: Opens) -> None:
    opened, rows = opens(name)
    lost = {}
    for store in rows:
        if not isinstance(opened.registered[store], Repository):
            continue
        for row, told in zip(rows[store], expected_of(name).get(store, []), strict=True):
            again = written_again(opened, store, row)
            if again is not None and told is not None:
                # What it writes anew may have more in it, but for what an earlier form called otherwise.
                was = {**told["clear"], **told["personal"]}
                now = {**again[0], **again[1]}
                changed = {field for field in was if now.get(field) != was[field]} - EARLIER.get((name, store), set())
                lost |= {(store, row["_id"]): changed} if changed else {}
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
            assert len(stored(opened, store)) == len(rows[store])


def unversioned(row: Row) -> Row:
    """The row without what changes with every write; whether there is a sealed part is kept."""
    sealed = row.get("personal") is not None
    return {**{key: value for key, value in row.items() if key not in ("version", "personal")}, "sealed": sealed}


def opened_part(opened: Opened, store: str, row: Row) -> Any:
    content = read(opened, store, row)
    return None if content is None else {**content, "version": None}
