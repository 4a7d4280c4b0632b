"""The Flask app of a service: what happens to every request before and after its view."""

from __future__ import annotations

import time
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pymongo
import structlog
from flask import Flask, Response, current_app, g, request
from flask_smorest import Api  # type: ignore[import-untyped]
from pymongo.errors import PyMongoError
from werkzeug.routing import Rule

from shared.clock import utc_now
from shared.db import Register
from shared.db.unit_of_work import traceparent
from shared.errors import Forbidden, Invalid, NotFound, Unavailable
from shared.http.audit_trail import audit_routes, audit_row, audit_rows
from shared.http.body import DropsUnreadBodies
from shared.http.idempotent import idempotency_key
from shared.http.kernel import Kernel, KernelStores, current_kernel, install, require_room
from shared.http.openapi import Description, register_fields
from shared.http.pages import PUBLIC_PATHS, add_pages
from shared.http.problems import Errors, field_errors, problem_response, register_problems
from shared.http.responses import JsonResponse
from shared.http.routes import AccessRule, Blueprint, Inward, Parser, access_rule_of, takes_json, takes_query
from shared.http.trace import child_of
from shared.ids import is_id, new_id
from shared.ops.disks import Disks
from shared.ops.logs import log, where
from shared.ops.metrics import Metrics
from shared.ops.settings import Settings
from shared.security.authentication import Authenticator
from shared.security.signing import PublicKeys

_AUDIT_SECONDS = 3
# A failed request, most often because the database is away, is not kept waiting as long again.
_AUDIT_FAILURE_SECONDS = 1
_NO_AUDIT = "This couldn't be written to the audit, so it can't be answered. Try again shortly."
_WRONG_ROLE = "Your role may not do this. Ask someone whose role may."
_READING = {"GET", "HEAD", "OPTIONS"}


class _App(Flask):
    """Flask, whose views may also return a JsonResponse."""

    def make_response(self, rv: Any) -> Response:
        return super().make_response(rv.response() if isinstance(rv, JsonResponse) else rv)


class _Api(Api):  # type: ignore[misc]
    """flask-smorest, without its own errors and pages: see shared.http.problems and shared.http.pages."""

    def _register_responses(self) -> None:
        """None: what each operation answers is read from the code."""

    def _register_doc_blueprint(self) -> None:
        """None: see shared.http.pages."""

    def _register_error_handlers(self) -> None:
        """None: see shared.http.problems."""

    def _register_pagination_header(self) -> None:
        """None: pages are told in the body, and its schema would stand in the description unused."""


def make_app(
    *,
    settings: Settings,
    register: Register,
    stores: KernelStores,
    blueprints: Sequence[Blueprint],
    checks: Mapping[str, Callable[[], object]],
    away: Errors = (),
    disks: Disks | None = None,
    metrics: Metrics | None = None,
    examples: Path | None = None,
) -> Flask:
    """The app of one service.

    stores: what `open_kernel_stores(register, settings)` gave. checks: by server, a call that raises while that
      server is away (`/readyz`). away: errors that say so too, besides those of MongoDB and HTTP. disks: None where
      they are not watched. examples: the folder with the examples of its operations. Raises ValueError for a route
      without `@allow`, or that doesn't say whether it takes in something new.
    """
    app = _App(f"forgetmenot-{settings.service}", static_folder=None)
    app.config.update(
        API_TITLE=f"Forget-me-not: {settings.service} service",
        API_VERSION="v1",
        OPENAPI_VERSION="3.1.0",
        PROVIDE_AUTOMATIC_OPTIONS=False,
        # Lists and objects as the schemas order them.
        JSON_SORT_KEYS=False,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.url_map.merge_slashes = False
    kernel = Kernel(
        service=settings.service,
        settings=settings,
        unit_of_work=register.unit_of_work,
        stores=stores,
        authenticator=Authenticator(settings, PublicKeys.load(settings.public_keys)),
        metrics=metrics or Metrics(),
        disks=disks or Disks(0, {}),
    )
    install(app.extensions, kernel)
    register_problems(app, register.unit_of_work, away=away)
    app.before_request(lambda: _arrive(app))
    app.after_request(lambda answer: _leave(app, kernel, answer))
    app.teardown_request(lambda _: _clear())
    api = _Api(app)
    register_fields(api)
    api.spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"})
    api.spec.options["security"] = [{"bearer": []}]
    for blueprint in [*blueprints, audit_routes()]:
        api.register_blueprint(blueprint)
    description = Description(app, api, service=settings.service, arrival=_checks_of, examples=examples)
    app.extensions["forgetmenot.description"] = description
    add_pages(app, description, kernel, checks)
    _refuse_open_routes(app)
    app.wsgi_app = DropsUnreadBodies(app.wsgi_app)  # type: ignore[method-assign]
    return app


def _refuse_open_routes(app: Flask) -> None:
    """Refuse a route that has no access rule and isn't on the list of public ones, or that lies outside /v1."""
    for rule in app.url_map.iter_rules():
        if rule.rule in PUBLIC_PATHS:
            continue
        access_rule = access_rule_of(app.view_functions[rule.endpoint])
        if access_rule is None:
            raise ValueError(f"the route {rule.rule} ({rule.endpoint}) doesn't say whom it serves: add @allow")
        if not rule.rule.startswith("/v1/"):
            raise ValueError(f"the route {rule.rule} ({rule.endpoint}) doesn't lie under /v1")
        if access_rule.inward is None and (rule.methods or set()) - _READING:
            raise ValueError(f"the route {rule.rule} ({rule.endpoint}) doesn't say whether it is inward: tell @allow")


def _access_rule(app: Flask) -> AccessRule | None:
    """The access rule of the matched route; None for a public one, or where none matched."""
    if request.url_rule is None or request.url_rule.rule in PUBLIC_PATHS:
        return None
    return access_rule_of(app.view_functions[request.url_rule.endpoint])


def _arrive(app: Flask) -> None:
    """Check token, role, ids, room on the disks, key and query, before the body is read."""
    g.started = time.monotonic()
    g.request_id = new_id()
    traceparent.set(child_of(request.headers.get("traceparent")))
    structlog.contextvars.bind_contextvars(request_id=g.request_id)
    access_rule = _access_rule(app)
    if access_rule is None:
        return
    ids = {name: text for name, text in (request.view_args or {}).items() if name.endswith("_id")}
    if is_id(ids.get("case_id")):
        g.case_id = ids["case_id"]
    if others := [text for name, text in ids.items() if name != "case_id" and is_id(text)]:
        g.record_id = others[-1]
    rule = typing.cast(Rule, request.url_rule)
    for check in _checks_of(rule, app.view_functions[str(request.endpoint)]):
        if check in _CHECKS:
            check()


def _checks_of(rule: Rule, view: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """What each request of a route goes through before its view, and what may refuse it: the description reads it."""
    access_rule = access_rule_of(view)
    methods = rule.methods or set()
    yield _admit
    yield _require_role
    if any(name.endswith("_id") for name in rule.arguments):
        yield _require_ids
    if access_rule is not None and access_rule.inward is Inward.YES:
        yield require_room
    if "POST" in methods:
        yield _read_key
    yield Parser.load_querystring if takes_query(view) else _refuse_query
    if takes_query(view) or takes_json(view):
        yield Parser.handle_error
    if takes_json(view):
        yield Parser.load_json
    if access_rule is not None and access_rule.audited:
        yield _audited


def _admit() -> None:
    g.caller = current_kernel().authenticator.admit(request.headers.get("Authorization"), utc_now())


def _require_role() -> None:
    access_rule = _access_rule(current_app)
    if access_rule is None or not access_rule.allowed.admits(g.caller):
        raise Forbidden(_WRONG_ROLE)


def _require_ids() -> None:
    if not all(is_id(text) for name, text in (request.view_args or {}).items() if name.endswith("_id")):
        raise NotFound("There is no such thing here.")


def _read_key() -> None:
    g.idempotency_key = idempotency_key()


def _refuse_query() -> None:
    if request.args:
        errors = field_errors({name: ["Unknown field."] for name in request.args})
        raise Invalid("This path takes no query. Nothing was stored.", errors=errors)


#: Those of `_checks_of` that run here, in its order; the others run around the view.
_CHECKS = (_admit, _require_role, _require_ids, require_room, _read_key, _refuse_query)


def _leave(app: Flask, kernel: Kernel, answer: Response) -> Response:
    """Write the audit row, then set the headers of every response, then log and count."""
    access_rule = _access_rule(app)
    traceless = g.get("traceless", False) and answer.status_code < 500
    written = g.get("audited_status") == answer.status_code
    empty = g.get("nothing_shown", False) and answer.status_code < 400
    if access_rule is not None and access_rule.audited and not (traceless or written or empty):
        answer = _audited(kernel, access_rule, answer)
    if answer.status_code == 204:
        # There is nothing that could be of a type.
        answer.headers.pop("Content-Type", None)
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["X-Request-Id"] = g.request_id
    if traceless:
        return answer
    rule = request.url_rule.rule if request.url_rule is not None else "none"
    seconds = time.monotonic() - g.started
    method = request.method if request.method in _METHODS else "OTHER"
    kernel.metrics.answered(method=method, route=rule, status=answer.status_code, seconds=seconds)
    log.info("answered", route=rule, method=method, status=answer.status_code, ms=round(seconds * 1000))
    return answer


_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def _audited(kernel: Kernel, access_rule: AccessRule, answer: Response) -> Response:
    row = audit_row(access_rule, answer.status_code)
    audit = kernel.stores.audit
    with pymongo.timeout(_AUDIT_SECONDS if answer.status_code < 500 else _AUDIT_FAILURE_SECONDS):
        if access_rule.audit_late or g.get("audit_late", False):
            if not audit.write_or_keep(row):
                kernel.metrics.audit_late.inc()
            return answer
        try:
            for each in audit_rows(row):
                audit.write(each)
        except (PyMongoError, Unavailable) as error:
            log.error("audit-not-written", **where(error))
            answer.close()
            return problem_response(Unavailable(_NO_AUDIT))
    return answer


def _clear() -> None:
    traceparent.set(None)
    structlog.contextvars.clear_contextvars()
