"""What each service says of itself is true, whole and fit for tools; and no request made from it makes it fail."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urljoin

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error

from shared.events import SERVICES
from shared.http.introduction import problem_types
from shared.http.openapi import Description
from shared.http.reach import layers
from shared.http.routes import access_rule_of
from shared.http.source import function_nodes
from shared.ids import new_id
from tests.described import ROOT, Operation, operations_of
from tests.system import System

_QUICKLY = settings(
    max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
_METHODS = {"get", "put", "post", "patch", "delete"}


@pytest.mark.parametrize("service", SERVICES)
def test_no_request_that_fits_the_description_makes_a_service_fail(service: str, system: System) -> None:
    schema = schemathesis.openapi.from_url(f"{system.provided.urls[service]}/openapi.json")
    token = system.token("caseworker", "manager", "auditor", sub="schemathesis")
    tried = 0
    for found in schema.get_all_operations():
        tried += 1
        _try(found.ok(), token)
    assert tried > 5


def published(app: Flask) -> dict[str, Any]:
    said: dict[str, Any] = app.test_client().get("/openapi.json").get_json()
    return said


def whole(app: Flask) -> dict[str, Any]:
    """With what services ask of one another."""
    description: Description = app.extensions["forgetmenot.description"]
    return description.whole


def operations(app: Flask, said: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], Callable[..., Any]]]:
    """Each operation: its name, what is said of it, and the view that answers it."""
    adapter = app.url_map.bind("")
    for path, item in said["paths"].items():
        for method in sorted(item.keys() & _METHODS):
            sample = re.sub(r"\{[a-z_]+\}", new_id(), path)
            endpoint, _ = adapter.match(sample, method=method.upper())
            yield f"{method} {path}", item[method], app.view_functions[endpoint]


def headers_of(operation: dict[str, Any]) -> dict[str, bool]:
    """The request headers that it names, and whether each is required."""
    parameters = operation.get("parameters", [])
    return {one["name"]: one.get("required", False) for one in parameters if one["in"] == "header"}


def problems_said(operation: dict[str, Any]) -> set[str]:
    """The names of the problems that it says it can answer."""
    answers = (answer["content"] for status, answer in operation["responses"].items() if status[0] in "45")
    types = (content["application/problem+json"]["schema"]["properties"]["type"]["enum"] for content in answers)
    return {urn.rpartition(":")[2] for each in types for urn in each}


def takes_a_key(view: Callable[..., Any]) -> bool:
    """Whether `idempotent` is among the decorators of the view."""
    return any(layer.__code__.co_qualname.startswith("idempotent.") for layer in layers(view))


def names_in(view: Callable[..., Any]) -> set[str]:
    """Every name in the view's own source."""
    innermost = list(layers(view))[-1]
    nodes = [each for root in function_nodes(innermost.__code__) for each in ast.walk(root)]
    return {each.id for each in nodes if isinstance(each, ast.Name)}


@pytest.mark.parametrize("service", SERVICES)
def test_a_description_is_valid_openapi(service: str, apps: dict[str, Flask]) -> None:
    said = published(apps[service])
    assert said["openapi"] == "3.1.0"
    validate(said)
    validate(whole(apps[service]))


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_names_the_headers_that_its_code_reads(service: str, apps: dict[str, Flask]) -> None:
    found = list(operations(apps[service], whole(apps[service])))
    assert len(found) > 5
    for name, operation, view in found:
        expected = {"If-Match": True} if "check_if_match" in names_in(view) else {}
        expected |= {"Idempotency-Key": False} if takes_a_key(view) else {}
        assert headers_of(operation) == expected, name
        answers_412_428 = {"precondition-required"} <= problems_said(operation)
        assert answers_412_428 == ("If-Match" in expected), name
    assert any("Idempotency-Key" in headers_of(operation) for _, operation, _ in found)


def test_every_operation_has_an_id_of_its_own_in_all_services(apps: dict[str, Flask]) -> None:
    ids = [said["operationId"] for app in apps.values() for _, said, _ in operations(app, whole(app))]
    twice = {one for one in ids if ids.count(one) > 1}
    assert twice == set(), "give one of these views another name"


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_has_a_sentence_a_description_and_the_roles_it_serves(
    service: str, apps: dict[str, Flask]
) -> None:
    for name, operation, view in operations(apps[service], whole(apps[service])):
        access_rule = access_rule_of(view)
        assert access_rule is not None, name
        assert operation["summary"].endswith((".", "?")), f"{name}: the view's docstring begins with a sentence"
        assert operation["description"], name
        assert operation["x-roles"] == sorted(access_rule.allowed.roles), name
        assert ("internal" in operation["tags"]) == (not access_rule.allowed.roles), name


@pytest.mark.parametrize("service", SERVICES)
def test_what_services_ask_of_one_another_is_not_published(service: str, apps: dict[str, Flask]) -> None:
    shown = published(apps[service])
    assert [name for name, said, _ in operations(apps[service], shown) if not said["x-roles"]] == []
    hidden = {n for n, said, _ in operations(apps[service], whole(apps[service])) if not said["x-roles"]}
    assert hidden.isdisjoint(name for name, _, _ in operations(apps[service], shown))
    assert "internal" not in {tag["name"] for tag in shown["tags"]}


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_needs_a_token_and_every_component_is_used(service: str, apps: dict[str, Flask]) -> None:
    said = published(apps[service])
    assert said["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert said["security"] == [{"bearer": []}]
    for name, operation, _ in operations(apps[service], said):
        # Public pages aren't described: the security of the whole document holds for what is.
        assert "security" not in operation, name
        assert {"unauthorised", "forbidden", "unavailable", "internal"} <= problems_said(operation), name
    text = json.dumps(said)
    parts = [(kind, name) for kind, named in said["components"].items() for name in named if kind != "securitySchemes"]
    assert [part for part in parts if f'"#/components/{part[0]}/{part[1]}"' not in text] == []


@pytest.mark.parametrize("service", SERVICES)
def test_every_problem_that_an_operation_lists_is_told_in_the_introduction(
    service: str, apps: dict[str, Flask]
) -> None:
    said = published(apps[service])
    known = {kind.name for kind in problem_types()}
    assert all(f"| `{name}` |" in said["info"]["description"] for name in known)
    for name, operation, _ in operations(apps[service], said):
        assert problems_said(operation) <= known, name


def test_the_list_of_problems_in_docs_api_md_is_that_of_the_code() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    told = {(name, int(status)) for name, status in re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \|", page, re.MULTILINE)}
    assert told == {(kind.name, kind.status) for kind in problem_types()}


@pytest.mark.parametrize("service", SERVICES)
def test_answers_may_gain_fields_and_bodies_may_not(service: str, apps: dict[str, Flask]) -> None:
    said = published(apps[service])
    schemas = said["components"]["schemas"]
    bodies, answers = set[str](), set[str]()
    for _, operation, _ in operations(apps[service], said):
        bodies |= _named(operation.get("requestBody", {}), schemas)
        answers |= _named(operation["responses"], schemas)
    assert [name for name in answers if schemas[name].get("additionalProperties") is False] == []
    assert [name for name in bodies if schemas[name].get("additionalProperties") is not False] == []


@pytest.mark.parametrize("service", SERVICES)
def test_every_field_of_an_answer_says_what_it_is(service: str, apps: dict[str, Flask]) -> None:
    said = published(apps[service])
    schemas = said["components"]["schemas"]
    answers = set().union(*(_named(o["responses"], schemas) for _, o, _ in operations(apps[service], said)))
    bare, undated = [], []
    for name in sorted(answers):
        for field, shown in schemas[name].get("properties", {}).items():
            if not shown.keys() & {"type", "$ref", "anyOf", "const", "enum"}:
                bare.append(f"{name}.{field}")
            is_array = shown.get("type") == "array"
            if re.search(r"_(at|on|until)$", field) and not is_array and "date" not in str(shown.get("format")):
                undated.append(f"{name}.{field}")
            if re.search(r"(^|_)id$", field) and shown.get("format") != "uuid":
                undated.append(f"{name}.{field}")
    assert (bare, undated) == ([], [])


def _named(part: Any, schemas: dict[str, Any]) -> set[str]:
    """The names of the schemas that a part of the description uses, and those that these use."""
    found: set[str] = set()
    waiting = re.findall(r'"#/components/schemas/(\w+)"', json.dumps(part))
    while waiting:
        if (name := waiting.pop()) not in found:
            found.add(name)
            waiting += re.findall(r'"#/components/schemas/(\w+)"', json.dumps(schemas[name]))
    return found - {"Problem"}


@pytest.mark.parametrize("at", ["http://127.0.0.1:8401/openapi.json", "https://office.example/case/openapi.json"])
def test_the_server_is_right_where_the_document_is_read(at: str, apps: dict[str, Flask]) -> None:
    [server] = published(apps["case"])["servers"]
    assert urljoin(at, server["url"]) == re.sub(r"(?<=\w)/(case/)?openapi.json$", "/", at)


# The examples


def published_operations(apps: dict[str, Flask]) -> list[Operation]:
    return [one for service in SERVICES for one in operations_of(service, published(apps[service]))]


def test_every_operation_has_an_example_and_every_example_an_operation(apps: dict[str, Flask]) -> None:
    found = published_operations(apps)
    without = [one.id for one in found if not one.example_file.exists()]
    assert without == [], "record one: FMN_RECORD_EXAMPLES=on pytest, with a test that asks for it (tests/described.py)"
    files = {path for service in SERVICES for path in (ROOT / "services" / service / "examples").glob("*.json")}
    assert files == {one.example_file for one in found}


def test_every_example_fits_its_schemas(apps: dict[str, Flask]) -> None:
    for one in published_operations(apps):
        example = json.loads(one.example_file.read_text(encoding="utf-8"))
        parameters = {(p["in"], p["name"]): p for p in one.said["parameters"]}
        for place, named in example["parameters"].items():
            for name, text in named.items():
                schema = parameters[place, name]["schema"]
                value = int(text) if schema.get("type") == "integer" else text
                assert one.misfits(schema, value) == [], (one.id, name)
        required = {key for key, parameter in parameters.items() if parameter.get("required")}
        assert required <= {(place, name) for place, named in example["parameters"].items() for name in named}, one.id
        if "requestBody" in one.said:
            for media in one.said["requestBody"]["content"].values():
                assert one.misfits(media["schema"], example["request"]) == [], one.id
                assert media["example"] == example["request"]
        told = {status for status in one.said["responses"] if status[0] == "2"} - {"206"}
        assert set(example["answers"]) == told, one.id
        for status, body in example["answers"].items():
            for kind, media in one.said["responses"][status].get("content", {}).items():
                if body is not None and (kind == "application/json") == (not isinstance(body, str)):
                    assert one.misfits(media["schema"], body) == [], (one.id, status)
                    assert media["example"] == body
                assert body is not None or kind != "application/json", one.id


def _try(operation: Any, token: str) -> None:
    @_QUICKLY
    @given(case=operation.as_strategy())
    def run(case: Any) -> None:
        answer = case.call(headers={"Authorization": f"Bearer {token}"})
        case.validate_response(answer, checks=[not_a_server_error])

    run()
