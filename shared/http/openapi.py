"""The description of a service's API (OpenAPI 3.1), as `/openapi.json` publishes it.

flask-smorest describes paths, parameters, bodies and answers. Here each operation gets what the code says besides: its
id, roles, headers, problems and examples. It is put together when it is first asked for.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import marshmallow as ma
from flask import Flask
from flask_smorest import Api  # type: ignore[import-untyped]
from flask_smorest.spec.plugins import RE_URL  # type: ignore[import-untyped]
from werkzeug.routing import Rule

from shared.errors import Frozen, Problem
from shared.http.examples import examples_in
from shared.http.fields import DayField, Either, IdField, Moment
from shared.http.introduction import introduction
from shared.http.operations import HEADERS, INTERNAL, PROBLEM_SCHEMA, Operation
from shared.http.problems import problems_of
from shared.http.reach import Reach
from shared.http.responses import check_if_match, created, etag_of, ok
from shared.http.routes import AccessRule, access_rule_of

#: The functions that are called for each request of a route before its view.
Arrival = Callable[[Rule, Callable[..., Any]], Iterable[Callable[..., Any]]]
_METHODS: Final = ("get", "put", "post", "patch", "delete")
_NAMED: Final[Mapping[Callable[..., Any], str]] = {check_if_match: "if-match", etag_of: "etag", created: "created"}


def reach_of(service: str) -> Reach:
    """What the views of a service come to: problems, and the functions that read or set headers."""
    return Reach(
        (Problem, *problems_of),
        _NAMED,
        with_etag=ok,
        waived={"frozen_too": Frozen},
        of_service=f"services.{service}",
    )


class Description:
    """The description of one app. examples: the folder with one file for each operation, if there is one."""

    def __init__(self, app: Flask, api: Api, *, service: str, arrival: Arrival, examples: Path | None) -> None:
        self._app = app
        self._api = api
        self._service = service
        self._arrival = arrival
        self._examples = examples
        self._lock = threading.Lock()

    @property
    def published(self) -> dict[str, Any]:
        """What callers are shown: every operation that serves a role."""
        with self._lock:
            return self._published

    @cached_property
    def _published(self) -> dict[str, Any]:
        paths = {
            path: {method: part for method, part in item.items() if INTERNAL not in part.get("tags", ())}
            for path, item in self.whole["paths"].items()
        }
        kept = {path: item for path, item in paths.items() if any(method in item for method in _METHODS)}
        return _pruned({**self.whole, "paths": kept})

    @cached_property
    def whole(self) -> dict[str, Any]:
        """Operations between services too, which are tagged `internal`."""
        said: dict[str, Any] = deepcopy(self._api.spec.to_dict())
        said["info"] |= {
            "description": introduction(self._service),
            "license": {"name": "EUPL-1.2", "identifier": "EUPL-1.2"},
        }
        # It resolves against the address of this document, which behind a gateway is /<service>/openapi.json.
        said["servers"] = [{"url": "/", "description": "Where this document comes from, without any path."}]
        said["components"] |= {
            "headers": {name: dict(header) for name, header in HEADERS.items()},
            "schemas": {**said["components"].get("schemas", {}), "Problem": dict(PROBLEM_SCHEMA)},
        }
        said["components"].pop("responses", None)
        tag = {"name": INTERNAL, "description": "What services ask of one another."}
        said["tags"] = [*said.get("tags", ()), tag]
        reach = reach_of(self._service)
        examples = {} if self._examples is None else examples_in(self._examples)
        for rule, view, access_rule, path, method in self._operations():
            item = said["paths"][path]
            # Parameters stand in the operation itself, with its examples.
            item[method]["parameters"] = [*self._path_parameters(rule), *item[method].get("parameters", ())]
            found = reach.of([*self._arrival(rule, view), view])
            operation = Operation(item[method], view, access_rule, found, service=self._service)
            operation.complete(examples.get(operation.id))
        for item in said["paths"].values():
            item.pop("parameters", None)
        _open_answers(said)
        _tidy(said)
        return said

    def _operations(self) -> Iterator[tuple[Rule, Callable[..., Any], AccessRule, str, str]]:
        for rule in self._app.url_map.iter_rules():
            view = self._app.view_functions[rule.endpoint]
            access_rule = access_rule_of(view)
            if access_rule is None:
                continue
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield rule, view, access_rule, RE_URL.sub(r"{\1}", rule.rule), method.lower()

    def _path_parameters(self, rule: Rule) -> list[dict[str, Any]]:
        parameters = []
        for name in sorted(rule.arguments, key=rule.rule.index):
            schema: dict[str, Any] = {"type": "string"}
            about = f"the {name.replace('_', ' ')}"
            if name.endswith("_id"):
                schema["format"] = "uuid"
                about = f"the id of the {name.removesuffix('_id').replace('_', ' ')}"
            elif name == "service":
                schema["enum"] = [self._service]
            parameters.append({"in": "path", "name": name, "required": True, "description": about, "schema": schema})
        return parameters


def register_fields(api: Api) -> None:
    """Tell apispec what our fields are. Before any schema is described."""
    api.register_field(IdField, "string", "uuid")
    api.register_field(Moment, "string", "date-time")
    api.register_field(DayField, "string", "date")
    for describe in (_constant, _either):
        api.ma_plugin.converter.add_attribute_function(describe)


def _constant(_: Any, field: ma.fields.Field[Any], ret: dict[str, Any]) -> dict[str, Any]:
    return {"type": "string", "const": field.constant} if isinstance(field, ma.fields.Constant) else {}


def _either(converter: Any, field: ma.fields.Field[Any], ret: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(field, Either):
        return {}
    shown = [converter.resolve_nested_schema(schema) for schema in field.schemas]
    return shown[0] if len(shown) == 1 else {"anyOf": shown}


def _tidy(said: Any) -> None:
    """Leave out defaults that say only that something may be left out, which don't fit the type; and say of a word of a
    closed list, or null, so in the form that generators of clients read.
    """
    if isinstance(said, list):
        for each in said:
            _tidy(each)
    elif isinstance(said, dict):
        if "default" in said and (said["default"] is None or "const" in said):
            del said["default"]
        if "enum" in said and isinstance(kinds := said.get("type"), list) and "null" in kinds:
            words = [word for word in said.pop("enum") if word is not None]
            said["anyOf"] = [{"type": kinds[0], "enum": words}, {"type": "null"}]
            del said["type"]
        for name, each in list(said.items()):
            if name not in ("example", "examples"):
                _tidy(each)


def _open_answers(said: dict[str, Any]) -> None:
    """Let answers have fields that this version doesn't know: only bodies are strict."""
    operations = [item[method] for item in said["paths"].values() for method in _METHODS if method in item]
    bodies = _used(said, [operation.get("requestBody", {}) for operation in operations])
    for reference in _used(said, [operation["responses"] for operation in operations]) - bodies:
        schema = _component(said, reference)
        if schema.get("additionalProperties") is False:
            del schema["additionalProperties"]


def _pruned(said: dict[str, Any]) -> dict[str, Any]:
    """Without the components and tags that nothing uses."""
    used = _used(said, said["paths"])
    components = {
        kind: {name: part for name, part in parts.items() if f"#/components/{kind}/{name}" in used}
        for kind, parts in said["components"].items()
        if kind != "securitySchemes"
    }
    tags = {tag for item in said["paths"].values() for part in item.values() for tag in part["tags"]}
    return {
        **said,
        "components": {**components, "securitySchemes": said["components"]["securitySchemes"]},
        "tags": [tag for tag in said["tags"] if tag["name"] in tags],
    }


def _used(said: Mapping[str, Any], part: Any) -> set[str]:
    """The components that a part uses, and those that these use."""
    used: set[str] = set()
    waiting = [part]
    while waiting:
        for reference in _references(waiting.pop()):
            if reference not in used:
                used.add(reference)
                waiting.append(_component(said, reference))
    return used


def _component(said: Mapping[str, Any], reference: str) -> dict[str, Any]:
    kind, name = reference.removeprefix("#/components/").split("/")
    component: dict[str, Any] = said["components"][kind][name]
    return component


def _references(said: Any) -> Iterator[str]:
    if isinstance(said, dict):
        if isinstance(reference := said.get("$ref"), str):
            yield reference
        for each in said.values():
            yield from _references(each)
    elif isinstance(said, list):
        for each in said:
            yield from _references(each)


def as_json(said: Mapping[str, Any]) -> str:
    return json.dumps(said, indent=2, ensure_ascii=False)
