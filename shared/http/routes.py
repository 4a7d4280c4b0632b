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
) -> Callable[[View], View]:
    """Who may use the route below: roles of people and apps, and services by name.

    audited: False only where nothing of a case is read or changed (the privacy statement).
    audit_late: the answer goes out even when the audit can't be written now (safeguarding).
    inward: whether it takes in something new. Every route that isn't a GET must say.
    audit_apart: its audit is shown to data protection alone (safeguarding).
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
        return view

    return mark


def note(view: Callable[..., Any], name: str, value: bool) -> None:
    """Keep with a view what `shared.http.openapi` describes it by; the decorators above it keep it too."""
    view.__dict__["_apidoc"] = {**doc_of(view), name: value}


def doc_of(view: Callable[..., Any]) -> Mapping[str, Any]:
    """What the decorators of a view keep with it to describe it by."""
    documented: Mapping[str, Any] = getattr(view, "_apidoc", {})
    return documented


def access_rule_of(view: Callable[..., Any]) -> AccessRule | None:
    """The access rule of a view; None for a public one, or by a mistake that `make_app` refuses."""
    access_rule = getattr(view, "access_rule", None)
    return access_rule if isinstance(access_rule, AccessRule) else None


def takes_query(view: Callable[..., Any]) -> bool:
    """Whether the view reads its query through a schema."""
    return any(item["in"] in ("query", "querystring") for item in _arguments(view))


def takes_json(view: Callable[..., Any]) -> bool:
    """Whether the view reads its body through a schema."""
    return any(item["in"] == "json" for item in _arguments(view))


def _arguments(view: Callable[..., Any]) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = doc_of(view).get("arguments", {}).get("parameters", [])
    return parameters


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


#: Answers that are a text; of any other type but JSON they are bytes.
_TEXTS = ("text/html", "application/jose")


def schema_of(content_type: str) -> dict[str, Any]:
    """How the body of an answer of that type is described, where no schema says more."""
    return {"type": "string"} if content_type in _TEXTS else {"type": "string", "format": "binary"}


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """A set of routes under `/v1`, described in OpenAPI. Its decorators are flask-smorest's, with types."""

    ARGUMENTS_PARSER = Parser()

    def __init__(self, name: str, *, description: str, url_prefix: str | None = "/v1") -> None:
        super().__init__(name, name, url_prefix=url_prefix, description=description)

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
        """As flask-smorest's. A view that returns a JsonResponse is complete; the schema then only describes it.

        content_type: of an answer that isn't JSON; the view returns a Response.
        """
        if schema is None and "content_type" in more:
            schema = schema_of(more["content_type"])
        wrap: Callable[[Callable[..., Any]], Callable[..., Any]] = super().response(status_code, schema, **more)

        def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(view)
            def answered(*args: Any, **kwargs: Any) -> Any:
                result = view(*args, **kwargs)
                return result.response() if isinstance(result, JsonResponse) else result

            return wrap(answered)

        return decorate

    def alternative(
        self, status_code: int, schema: Any = None, **more: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Describe another answer that the view below may give, of another status or type."""
        if schema is None and "content_type" in more:
            schema = schema_of(more["content_type"])
        wrap: Callable[[Callable[..., Any]], Callable[..., Any]] = super().alt_response(
            status_code, schema=schema, **more
        )
        return wrap
