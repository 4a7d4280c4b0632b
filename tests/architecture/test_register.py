"""Every collection is registered with its closed list of clear fields, and every route says whom it serves."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from bson.codec_options import CodecOptions

from deploy.local.mongo import admin_client
from deploy.local.provision import Provision
from reader.kept import APART, KEPT
from shared import fields
from shared.db import Disposal
from shared.db.changes import CHANGED
from shared.erasure.manifest import CASE_KEYS, MANIFEST
from shared.events import SERVICES, all_types
from shared.ids import is_id
from shared.service.runtime import Runtime
from tests.system import System, open_service

CLOSED_TYPES = (
    fields.Id,
    fields.Enum,
    fields.Name,
    fields.Count,
    fields.Flag,
    fields.Time,
    fields.Day,
    fields.Digest,
    fields.Reference,
    fields.Subject,
    fields.Signed,
    fields.Sealed,
)


class _Step:
    """A step that is asked for once a key is destroyed: its kind, key and case."""

    def accepts(self, value: Any) -> bool:
        kind, key, case_id = value
        return fields.Name().accepts(kind) and is_id(key) and (case_id is None or is_id(case_id))


# What the key tree keeps in the vault's database (shared/db/keys): each collection with its closed list.
_COUNT = fields.Optional(fields.Count())
KEY_TREE: Mapping[str, Mapping[str, fields.Field]] = {
    "tree": {
        "fence": fields.Count(),
        "generation": fields.Count(),
        "root": fields.Digest(),
        "store": fields.Digest(),
        "versions": fields.List(fields.Count()),
        "sealed": fields.Sealed(),
    },
    "buckets": {"version": fields.Count(), "made": _COUNT},
    "keys": {
        "bucket": fields.Count(),
        "version": fields.Count(),
        "wrapped": fields.Sealed(),
        "made_at": fields.Time(),
        "hashed": _COUNT,
    },
    "doomed": {
        "bucket": fields.Count(),
        "at": fields.Time(),
        "then": fields.List(_Step()),
        "gone_at": fields.Optional(fields.Time()),
        "generation": _COUNT,
    },
}


# What a service's worker opens besides.
WORKER_ADDS = {"inbox", "outbox", "deferred", "parked", "parked_bodies", "trying"}


def leaves(field: Any) -> Iterator[Any]:
    """The field types that a type is made of."""
    if isinstance(field, fields.Optional | fields.List | fields.Table):
        yield from leaves(field.of)
    elif isinstance(field, fields.Group):
        for inner in field.fields.values():
            yield from leaves(inner)
    else:
        yield field


@pytest.fixture(params=SERVICES)
def runtime(request: pytest.FixtureRequest, provided: Provision, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    name = str(request.param)
    for setting, value in provided.env[name].items():
        monkeypatch.setenv(setting, value)
    return open_service(name, "api").runtime


def test_every_clear_field_is_of_the_closed_types(runtime: Runtime) -> None:
    wrong = [
        f"{store.name}.{name}"
        for store in runtime.register.stores.values()
        for name, field in store.clear.items()
        for leaf in leaves(field)
        if not isinstance(leaf, CLOSED_TYPES)
    ]
    assert wrong == []


def test_what_an_erasure_keeps_says_why(runtime: Runtime) -> None:
    kept = [s for s in runtime.register.stores.values() if s.disposal is Disposal.KEEP and hasattr(s, "why")]
    assert kept
    assert all(store.why for store in kept)


@pytest.mark.parametrize("name", SERVICES)
def test_the_manifest_lists_what_the_register_empties(
    name: str, provided: Provision, monkeypatch: pytest.MonkeyPatch
) -> None:
    for setting, value in provided.env[name].items():
        monkeypatch.setenv(setting, value)
    emptied = {store.name for store in open_service(name, "api").runtime.register.erased_by_a_case()}
    assert MANIFEST[name] == emptied | {CASE_KEYS}, "write in shared/erasure/manifest.py what the register says"


def test_the_reader_takes_for_kept_only_what_the_register_keeps(runtime: Runtime) -> None:
    service, stores = runtime.settings.service, runtime.register.stores
    kept = {store.name for store in stores.values() if store.disposal in (Disposal.KEEP, Disposal.STRIP)}
    named = {place.partition(".")[2] for place in KEPT if place.startswith(f"{service}.")}
    assert named - WORKER_ADDS <= kept
    assert {f"{service}.{store.name}" for store in stores.values() if store.disposal is Disposal.APART} == {
        place for place in APART if place.startswith(f"{service}.")
    }
    # What names a case by a field of its own and is kept, the reader knows.
    of_a_case = {store.name for store in stores.values() if store.name in kept and "case_id" in store.clear}
    elsewhere = {place.partition(".")[2] for place in KEPT if place.startswith("ledger.")}
    assert of_a_case <= named | elsewhere


def test_every_event_field_is_of_the_closed_types() -> None:
    wrong = [
        f"{event.type}.{name}"
        for event in all_types().values()
        for name, field in event.fields.items()
        for leaf in leaves(field)
        if not isinstance(leaf, CLOSED_TYPES)
    ]
    assert wrong == []


@pytest.mark.parametrize("name", SERVICES)
def test_every_collection_in_the_database_is_registered(
    name: str, system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a case that has used every service
    case_id = system.an_open_case()
    system.a_person(case_id)
    system.a_scan(case_id)
    for setting, value in system.provided.env[name].items():
        monkeypatch.setenv(setting, value)
    runtime = open_service(name, "worker").runtime
    with admin_client(system.stack.places, system.stack.ports) as client:
        data, vault = (
            client.get_database(f"{system.provided.prefix}_{name}{suffix}", codec_options=CodecOptions(tz_aware=True))
            for suffix in ("", "_vault")
        )
        in_data, in_vault = (set(database.list_collection_names()) for database in (data, vault))
        # What the change feed tells of says when it was written last, too.
        known = {
            store: {*each.clear, *({CHANGED} if getattr(each, "feed", None) else ())}
            for store, each in runtime.register.stores.items()
        }
        fields_there = _clear_fields(data, known) | _clear_fields(vault, known)
        misfits_there = _misfits(vault, KEY_TREE)
    # Then each is one that the register or the key tree knows, with nothing in clear but what its list names
    assert in_data - WORKER_ADDS <= known.keys()
    assert in_vault <= known.keys() | KEY_TREE.keys()
    assert fields_there == {}
    assert misfits_there == {}


def _clear_fields(database: Any, stores: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """By collection, the fields in clear that its closed list doesn't name."""
    wrong = {}
    for name, clear in stores.items():
        named = {*clear, "_id", "case_id", "version", "personal", "own_key", "mac"}
        seen: set[str] = set()
        for row in database[name].find().limit(200):
            seen |= set(row)
        if seen - named:
            wrong[name] = seen - named
    return wrong


def _misfits(database: Any, closed: Mapping[str, Mapping[str, fields.Field]]) -> dict[str, set[str]]:
    """By collection, the fields that its closed list doesn't name, or wants otherwise."""
    wrong: dict[str, set[str]] = {}
    for name, clear in closed.items():
        for row in database[name].find().limit(300):
            if found := fields.misfits(clear, {field: value for field, value in row.items() if field != "_id"}):
                wrong.setdefault(name, set()).update(found)
    return wrong


@pytest.mark.parametrize("name", SERVICES)
def test_every_route_says_whom_it_serves(name: str, provided: Provision, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting, value in provided.env[name].items():
        monkeypatch.setenv(setting, value)
    declared = importlib.import_module(f"services.{name}.main").service
    app = declared.app(declared.open("api"))
    open_routes = [
        rule.rule
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/v1") and not hasattr(app.view_functions[rule.endpoint], "access_rule")
    ]
    assert open_routes == []
