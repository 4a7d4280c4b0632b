"""What each service says of itself: every header that its code reads; and no request made from it makes it fail."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error

from shared.events import SERVICES
from shared.http.routes import access_rule_of
from shared.ids import new_id
from tests.system import System

_QUICKLY = settings(
    max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)


@pytest.mark.parametrize("service", SERVICES)
def test_no_request_that_fits_the_description_makes_a_service_fail(service: str, system: System) -> None:
    schema = schemathesis.openapi.from_url(f"{system.provided.urls[service]}/openapi.json")
    token = system.token("caseworker", "manager", "auditor", sub="schemathesis")
    tried = 0
    for found in schema.get_all_operations():
        tried += 1
        _try(found.ok(), token)
    assert tried > 5


def operations(app: Flask) -> Iterator[tuple[str, dict[str, Any], Callable[..., Any]]]:
    """Each operation of the description: its name, what is said of it, and the view that answers it."""
    adapter = app.url_map.bind("")
    for path, item in description(app)["paths"].items():
        for method in sorted(item.keys() & {"get", "put", "post", "patch", "delete"}):
            sample = re.sub(r"\{[a-z_]+\}", new_id(), path)
            endpoint, _ = adapter.match(sample, method=method.upper())
            yield f"{method} {path}", item[method], app.view_functions[endpoint]


def description(app: Flask) -> dict[str, Any]:
    said: dict[str, Any] = app.test_client().get("/openapi.json").get_json()
    return said


def headers_of(operation: dict[str, Any]) -> dict[str, bool]:
    """The request headers that it names, and whether each is required."""
    parameters = operation.get("parameters", [])
    return {one["name"]: one.get("required", False) for one in parameters if one["in"] == "header"}


def takes_a_key(view: Callable[..., Any]) -> bool:
    """Whether `idempotent` is among the decorators of the view."""
    layers: Any = view
    while layers is not None:
        if layers.__code__.co_qualname.startswith("idempotent."):
            return True
        layers = getattr(layers, "__wrapped__", None)
    return False


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_names_the_headers_that_its_code_reads(service: str, apps: dict[str, Flask]) -> None:
    found = list(operations(apps[service]))
    assert len(found) > 5
    for name, operation, view in found:
        expected = {"If-Match": True} if "check_if_match" in inspect.getsource(inspect.unwrap(view)) else {}
        expected |= {"Idempotency-Key": False} if takes_a_key(view) else {}
        assert headers_of(operation) == expected, name
    assert any("Idempotency-Key" in headers_of(operation) for _, operation, _ in found)


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_needs_a_token_and_every_schema_is_used(service: str, apps: dict[str, Flask]) -> None:
    said = description(apps[service])
    assert said["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert said["security"] == [{"bearer": []}]
    for name, operation, view in operations(apps[service]):
        # Public pages aren't described: the security of the whole document holds for what is.
        assert "security" not in operation, name
        assert access_rule_of(view) is not None, name
    whole = json.dumps(said)
    unused = [name for name in said["components"]["schemas"] if f'"#/components/schemas/{name}"' not in whole]
    assert unused == []


def _try(operation: Any, token: str) -> None:
    @_QUICKLY
    @given(case=operation.as_strategy())
    def run(case: Any) -> None:
        answer = case.call(headers={"Authorization": f"Bearer {token}"})
        case.validate_response(answer, checks=[not_a_server_error])

    run()
