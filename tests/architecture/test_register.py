"""Every collection is registered with its closed list of clear fields, and every route says whom it serves."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from deploy.local.mongo import admin_client
from deploy.local.provision import Provision
from shared import fields
from shared.db import Disposal
from shared.events import SERVICES, all_types
from shared.service import service
from tests.system import System

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
# Kept by MongoDB's client-side encryption itself: wrapped keys by case id.
NOT_OURS = {"keys"}


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
def kit(request: pytest.FixtureRequest, provided: Provision, monkeypatch: pytest.MonkeyPatch) -> service.Kit:
    name = str(request.param)
    for setting, value in provided.env[name].items():
        monkeypatch.setenv(setting, value)
    kit = service.build(name, "api")
    importlib.import_module(f"services.{name}.main").stores(kit)
    return kit


def test_every_clear_field_is_of_the_closed_types(kit: service.Kit) -> None:
    wrong = [
        f"{store.name}.{name}"
        for store in kit.register.stores.values()
        for name, field in store.clear.items()
        for leaf in leaves(field)
        if not isinstance(leaf, CLOSED_TYPES)
    ]
    assert wrong == []


def test_what_an_erasure_keeps_says_why(kit: service.Kit) -> None:
    kept = [s for s in kit.register.stores.values() if s.disposal is Disposal.KEEP and hasattr(s, "why")]
    assert kept
    assert all(store.why for store in kept)


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
    kit = service.build(name, "worker")
    importlib.import_module(f"services.{name}.main").stores(kit)
    worker_adds = {"inbox", "outbox", "deferred", "parked", "trying"}
    with admin_client(system.stack.places, system.stack.ports) as client:
        there: set[str] = set()
        for suffix in ("", "_vault"):
            there |= set(client[f"{system.provided.prefix}_{name}{suffix}"].list_collection_names())
        fields_there = _clear_fields(client[f"{system.provided.prefix}_{name}"], kit.register.stores)
    # Then each is one that the register knows, and each row has nothing in clear but what its list names
    assert there - NOT_OURS - worker_adds <= set(kit.register.stores)
    assert fields_there == {}


def _clear_fields(database: Any, stores: Mapping[str, Any]) -> dict[str, set[str]]:
    """By collection, the fields in clear that its closed list doesn't name."""
    wrong = {}
    for name, store in stores.items():
        named = {*store.clear, "_id", "case_id", "version", "personal", "own_key"}
        seen: set[str] = set()
        for row in database[name].find().limit(200):
            seen |= set(row)
        if seen - named:
            wrong[name] = seen - named
    return wrong


@pytest.mark.parametrize("name", SERVICES)
def test_every_route_says_whom_it_serves(name: str, provided: Provision, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting, value in provided.env[name].items():
        monkeypatch.setenv(setting, value)
    app = importlib.import_module(f"services.{name}.main").create_api()
    open_routes = [
        rule.rule
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/v1") and not hasattr(app.view_functions[rule.endpoint], "access_rule")
    ]
    assert open_routes == []
