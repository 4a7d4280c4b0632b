"""One operation of the description: what the code says of it besides its parameters, bodies and answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from inspect import cleandoc
from typing import Any, Final

from shared.errors import Internal, Problem
from shared.http.examples import Example
from shared.http.problems import problems_of
from shared.http.reach import Found
from shared.http.routes import LONGEST_KEY, AccessRule, doc_of, schema_of

#: The tag of what services ask of one another, which isn't published.
INTERNAL: Final = "internal"
_PROBLEM: Final = "#/components/schemas/Problem"
HEADERS: Final[Mapping[str, Any]] = {
    "ETag": {
        "description": "The version of the thing. Send it as `If-Match` to change it.",
        "schema": {"type": "string"},
    },
    "Location": {"description": "The path of what was made.", "schema": {"type": "string", "format": "uri-reference"}},
    "Retry-After": {"description": "Seconds after which it is worth trying again.", "schema": {"type": "integer"}},
    "WWW-Authenticate": {"description": "`Bearer`.", "schema": {"type": "string"}},
}
_IF_MATCH: Final[Mapping[str, Any]] = {
    "in": "header",
    "name": "If-Match",
    "required": True,
    "description": "The ETag that was read, or `*`. 428 without it, 412 when the thing changed since.",
    "schema": {"type": "string"},
}
_IDEMPOTENCY_KEY: Final[Mapping[str, Any]] = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": (
        "Any printable text. The same request with the same key gets the first 2xx answer for 24 hours; 409 with "
        "another body, while it is in use, and once what it made is deleted."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY},
}
PROBLEM_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "description": "Every answer of status 4xx and 5xx (RFC 9457). No sentence repeats what was sent.",
    "required": ["detail", "status", "title", "type"],
    "properties": {
        "type": {"type": "string", "description": "`urn:fmn:problem:<name>`, stable"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what was wrong, what was kept, what to do"},
        "errors": {
            "type": "object",
            "description": "by field, where fields are wrong",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
    },
}


class Operation:
    """One operation, as flask-smorest described it so far."""

    def __init__(
        self, said: dict[str, Any], view: Callable[..., Any], rule: AccessRule, found: Found, *, service: str
    ) -> None:
        self._said = said
        self._roles = sorted(rule.allowed.roles)
        self._view = view
        self._found = found
        name = view.__name__
        # The kernel's routes are the same in every service; their operations are told apart.
        self.id = f"{service}_{name}" if view.__module__.startswith("shared.") else name

    def complete(self, example: Example | None) -> None:
        """Add all that is known."""
        roles = self._roles
        summary, _, rest = cleandoc(self._view.__doc__ or "").partition("\n\n")
        paragraphs = [" ".join(part.split()) for part in rest.split("\n\n") if part.strip()]
        paragraphs.append(f"For the roles {', '.join(roles)}." if roles else "For other services alone.")
        self._said |= {
            "operationId": self.id,
            "summary": " ".join(summary.split()),
            "description": "\n\n".join(paragraphs),
            "x-roles": roles,
        }
        if not roles:
            self._said["tags"] = [INTERNAL]
        self._add_request_headers()
        self._add_answers()
        if example is not None:
            self._add_example(example)

    def _add_request_headers(self) -> None:
        headers = [_IF_MATCH] if "if-match" in self._found else []
        if doc_of(self._view).get("idempotent"):
            headers.append(_IDEMPOTENCY_KEY)
        self._said["parameters"] = [*self._said["parameters"], *map(dict, headers)]
        for media_type, media in self._said.get("requestBody", {}).get("content", {}).items():
            media.setdefault("schema", schema_of(media_type))

    def _add_answers(self) -> None:
        answers = {str(s): part for s, part in self._said["responses"].items() if str(s).startswith("2")}
        for status, answer in answers.items():
            answer.setdefault("description", HTTPStatus(int(status)).phrase)
            for media_type, media in answer.get("content", {}).items():
                media.setdefault("schema", schema_of(media_type))
            headers = []
            if status in ("201", "202") and "created" in self._found:
                headers = ["Location", "ETag"]
            elif status in ("200", "206") and "etag" in self._found:
                headers = ["ETag"]
            if headers:
                answer["headers"] = {**answer.get("headers", {}), **_header_refs(headers)}
        self._said["responses"] = {**answers, **_problem_answers(self._found)}

    def _add_example(self, example: Example) -> None:
        for parameter in self._said["parameters"]:
            given = example.parameters.get(parameter["in"], {})
            if parameter["name"] in given:
                parameter["example"] = given[parameter["name"]]
        if example.request is not None and "requestBody" in self._said:
            for media in self._said["requestBody"]["content"].values():
                media["example"] = example.request
        for status, body in example.answers.items():
            for kind, media in self._said["responses"].get(status, {}).get("content", {}).items():
                # Of bytes there is none; of an answer of two types it is that of the one that was asked for.
                if body is not None and (kind == "application/json") == (not isinstance(body, str)):
                    media["example"] = body


def _problem_answers(found: Found) -> dict[str, Any]:
    """The answers of every problem that was found, by status."""
    kinds: set[type[Problem]] = {Internal}
    for each in found:
        if isinstance(each, type):
            kinds.update(problems_of.get(each, (each,)))
    by_status: dict[int, dict[str, type[Problem]]] = defaultdict(dict)
    headers: dict[int, set[str]] = defaultdict(set)
    for kind in kinds:
        by_status[kind.status].setdefault(kind.name, kind)
        headers[kind.status] |= kind.headers.keys()
    return {
        str(status): _problem_answer(sorted(named.items()), sorted(headers[status]))
        for status, named in sorted(by_status.items())
    }


def _problem_answer(named: list[tuple[str, type[Problem]]], headers: list[str]) -> dict[str, Any]:
    enum = [f"urn:fmn:problem:{name}" for name, _ in named]
    schema = {"$ref": _PROBLEM, "properties": {"type": {"enum": enum}}}
    answer: dict[str, Any] = {
        "description": " ".join(f"`{name}`: {kind.title}." for name, kind in named),
        "content": {"application/problem+json": {"schema": schema}},
    }
    return {**answer, "headers": _header_refs(headers)} if headers else answer


def _header_refs(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
