"""Routes: who may use one, and bodies and queries taken in strictly.

A route reads, from the top: `@blp.route`, `@allow`, `@blp.arguments`, `@blp.response`, `@making`, the view. Views are
functions; ids in a path are named `<case_id>`, `<person_id>`, … and one that is no id is 404 before the view runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import wraps
from typing import Any, NoReturn, TypeVar

import flask
import flask_smorest  # type: ignore[import-untyped]
import marshmallow as ma
from webargs.flaskparser import FlaskParser

from shared.errors import Invalid
from shared.events import SERVICES
from shared.http.body import clean_text, json_body
from shared.http.kernel import audit_case
from shared.http.problems import field_errors
from shared.http.responses import JsonResponse
from shared.ids import is_id
from shared.security.authentication import Allowed
from shared.security.roles import ROLES

View = TypeVar("View", bound=Callable[..., Any])
#: Characters of an Idempotency-Key.
LONGEST_KEY = 200
_DOESNT_FIT = "What was sent doesn't fit the contract. Nothing was stored."


class Inward(Enum):
    """Whether a route takes in something new. That is refused while a server's disk is nearly full (FMN_DISK_FLOOR)."""

    YES = "yes"
    # It reads, withdraws, holds, erases or disposes: never refused for that.
    NO = "no"
    # The body decides: the view calls `require_room` where it takes something in.
    BY_BODY = "by body"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRule:
    """Who may use a route, how its use is audited, and whether it takes in something new (None: it doesn't say)."""

    allowed: Allowed
    audited: bool
    audit_late: bool
    inward: Inward | None
    audit_apart: bool


def allow(
    *roles: str,
    services: tuple[str, ...] = (),
    audited: bool = True,
    audit_late: bool = False,
    inward: Inward | None = None,
    audit_apart: bool = False,
    has_etag: bool = True,
) -> Callable[[View], View]:
    """Who may use the route below: roles of people and apps, and services by name.

    audited: False only where nothing of a case is read or changed (the privacy statement).
    audit_late: the answer goes out even when the audit can't be written now (safeguarding).
    inward: whether it takes in something new. Every route that isn't a GET must say.
    audit_apart: its audit is shown to data protection alone (safeguarding).
    has_etag: False where PUT, PATCH or DELETE changes a thing that has no ETag, so that no If-Match is needed.
    """
    if unknown := (set(roles) - ROLES) | (set(services) - set(SERVICES)):
        raise ValueError(f"no such role or service: {', '.join(sorted(unknown))}")
    access_rule = AccessRule(
        allowed=Allowed(frozenset(roles), frozenset(services)),
        audited=audited,
        audit_late=audit_late,
        audit_apart=audit_apart,
        inward=inward,
    )

    def mark(view: View) -> View:
        view.__dict__["access_rule"] = access_rule
        note(view, "has_etag", has_etag)
        return view

    return mark


def note(view: Callable[..., Any], name: str, value: bool) -> None:
    """Keep with a view what `_request_headers` describes it by; the decorators above it keep it too."""
    view.__dict__["_apidoc"] = {**getattr(view, "_apidoc", {}), name: value}


def access_rule_of(view: Callable[..., Any]) -> AccessRule | None:
    """The access rule of a view; None for a public one, or by a mistake that `make_app` refuses."""
    access_rule = getattr(view, "access_rule", None)
    return access_rule if isinstance(access_rule, AccessRule) else None


def takes_query(view: Callable[..., Any]) -> bool:
    """Whether the view reads its query through a schema."""
    documented: Mapping[str, Any] = getattr(view, "_apidoc", {})
    parameters = documented.get("arguments", {}).get("parameters", [])
    return any(item["in"] in ("query", "querystring") for item in parameters)


class Parser(FlaskParser):
    """Loads bodies and queries into schemas. A misfit is `invalid`, and its value is never repeated."""

    DEFAULT_VALIDATION_STATUS = 400
    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = dict.fromkeys(("json", "query", "querystring"), ma.RAISE)

    def load_json(self, req: flask.Request, schema: ma.Schema) -> Any:
        return json_body()

    def load_querystring(self, req: flask.Request, schema: ma.Schema) -> Any:
        given = {name: [clean_text(text, name) for text in texts] for name, texts in req.args.lists()}
        if twice := [name for name, texts in given.items() if len(texts) > 1]:
            raise Invalid(_DOESNT_FIT, errors=field_errors({name: ["Given twice."] for name in twice}))
        return {name: texts[0] for name, texts in given.items()}

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        loaded = super().parse(*args, **kwargs)
        case_id = loaded.get("case_id") if isinstance(loaded, Mapping) else getattr(loaded, "case_id", None)
        if is_id(case_id):
            audit_case(str(case_id))
        return loaded

    def handle_error(self, error: ma.ValidationError, *args: Any, **kwargs: Any) -> NoReturn:
        messages = error.messages
        if isinstance(messages, dict) and len(messages) == 1:
            # webargs files everything under the place it was read from.
            messages = messages.get("json", messages.get("query", messages))
        raise Invalid(_DOESNT_FIT, errors=field_errors(messages)) from None


_IF_MATCH: Mapping[str, Any] = {
    "in": "header",
    "name": "If-Match",
    "required": True,
    "description": "The ETag that was read, or `*`. 428 without it, 412 when the thing changed since.",
    "schema": {"type": "string"},
}
_IDEMPOTENCY_KEY: Mapping[str, Any] = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": (
        "Any printable text. The same request with the same key gets the first 2xx answer for 24 hours; 409 with "
        "another body, while it is in use, and once what it made is deleted."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY},
}


def _request_headers(doc: dict[str, Any], info: Mapping[str, Any], *, method: str, **more: Any) -> dict[str, Any]:
    """Describe the headers that every operation of its kind takes: `allow` and `idempotent` noted which it is."""
    headers = []
    if method in ("put", "patch", "delete") and info.get("has_etag"):
        headers.append(dict(_IF_MATCH))
    if info.get("idempotent"):
        headers.append(dict(_IDEMPOTENCY_KEY))
    if headers:
        doc["parameters"] = [*doc.get("parameters", ()), *headers]
    return doc


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """A set of routes under `/v1`, described in OpenAPI. Its decorators are flask-smorest's, with types."""

    ARGUMENTS_PARSER = Parser()

    def __init__(self, name: str, *, description: str, url_prefix: str | None = "/v1") -> None:
        super().__init__(name, name, url_prefix=url_prefix, description=description)
        self._prepare_doc_cbks.append(_request_headers)

    def route(self, rule: str, *, methods: Sequence[str] = ("GET",), **more: Any) -> Callable[[View], View]:
        mark: Callable[[View], View] = super().route(rule, methods=list(methods), **more)
        return mark

    def arguments(
        self, schema: type[ma.Schema] | ma.Schema, *, location: str = "json", **more: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        wrap: Callable[[Callable[..., Any]], Callable[..., Any]] = super().arguments(schema, location=location, **more)
        return wrap

    def response(
        self, status_code: int, schema: Any = None, **more: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """As flask-smorest's. A view that returns a JsonResponse is complete; the schema then only describes it."""
        wrap: Callable[[Callable[..., Any]], Callable[..., Any]] = super().response(status_code, schema, **more)

        def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(view)
            def answered(*args: Any, **kwargs: Any) -> Any:
                result = view(*args, **kwargs)
                return result.response() if isinstance(result, JsonResponse) else result

            return wrap(answered)

        return decorate
