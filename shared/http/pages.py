"""What lies outside /v1 and needs no token: whether it lives and is ready, metrics, and the API's description."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pymongo
from flask import Flask, Response, send_from_directory
from flask_smorest import Api  # type: ignore[import-untyped]
from swagger_ui_bundle import swagger_ui_path

from shared.errors import NotFound
from shared.http.kernel import Kernel
from shared.ops.logs import log, where
from shared.ops.metrics import CONTENT_TYPE

JWKS_PATH = "/.well-known/jwks.json"
PUBLIC_PATHS = frozenset({"/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/<asset>", JWKS_PATH})
_CHECK_SECONDS = 2
_ASSETS = ("swagger-ui.css", "swagger-ui-bundle.js")
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
# Addresses are relative, so that the page works behind a gateway at /<service>/docs too.
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="docs/swagger-ui.css"></head>
<body><main id="api"><noscript>The description is at <a href="openapi.json">openapi.json</a>.</noscript></main>
<script src="docs/swagger-ui-bundle.js"></script><script src="docs/start.js"></script></body>
</html>
"""
_START = """SwaggerUIBundle({url: "docs/openapi-3.0.json", dom_id: "#api", deepLinking: true, validatorUrl: null});
"""


def add_pages(app: Flask, api: Api, kernel: Kernel, checks: Mapping[str, Callable[[], object]]) -> None:
    """Add the pages to the app. checks: see `make_app`."""

    def livez() -> dict[str, str]:
        return {"status": "alive"}

    def readyz() -> tuple[dict[str, Any], int, dict[str, str]]:
        answers = {server: _answer(server, check) for server, check in checks.items()}
        away = [server for server, answer in answers.items() if answer is False]
        kernel.metrics.ready.set(0 if away else 1)
        if away:
            reason = f"Not ready: {', '.join(away)} can't be reached."
            said = {"status": "not-ready", "reason": reason, "away": away, "disks": kernel.disks.shown}
            return said, 503, {"Retry-After": "2"}
        # Also while a disk is nearly full: only what is inward is refused then, and the rest must reach us.
        shown = {server: answer for server, answer in answers.items() if isinstance(answer, str)}
        return {"status": "ready", "disks": kernel.disks.shown, **shown}, 200, {}

    def metrics() -> Response:
        return Response(kernel.metrics.text(), content_type=CONTENT_TYPE)

    def docs() -> Response:
        page = _PAGE.format(title=api.spec.title)
        return Response(page, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": _CSP})

    def docs_asset(asset: str) -> Response:
        if asset == "start.js":
            return Response(_START, content_type="text/javascript; charset=utf-8")
        if asset == "openapi-3.0.json":
            return Response(json.dumps(as_3_0(api.spec.to_dict())), content_type="application/json")
        if asset not in _ASSETS:
            raise NotFound("There is nothing at this path.")
        return send_from_directory(str(swagger_ui_path), asset)

    app.add_url_rule("/livez", view_func=livez)
    app.add_url_rule("/readyz", view_func=readyz)
    app.add_url_rule("/metrics", view_func=metrics)
    app.add_url_rule("/docs", view_func=docs)
    app.add_url_rule("/docs/<asset>", view_func=docs_asset)


def _answer(server: str, check: Callable[[], object]) -> object:
    """What the check gives (a text is shown), or False when it raises."""
    try:
        # A server that hangs is as away as one that refuses; this bounds what is asked of MongoDB.
        with pymongo.timeout(_CHECK_SECONDS):
            return check() or True
    except Exception as error:  # noqa: BLE001 (after any error of a client library that server isn't ready)
        log.warning("server-away", server=server, **where(error))
        return False


def as_3_0(spec: Any) -> Any:
    """The description as OpenAPI 3.0, which the bundled Swagger UI 4 can show; /openapi.json itself is 3.1."""
    shown = _nullable(spec)
    shown["openapi"] = "3.0.3"
    return shown


def _nullable(value: Any) -> Any:
    if isinstance(value, list):
        return [_nullable(item) for item in value]
    if not isinstance(value, dict):
        return value
    shown = {name: _nullable(item) for name, item in value.items()}
    kinds = shown.get("type")
    if isinstance(kinds, list):
        shown["type"] = next(kind for kind in kinds if kind != "null")
        shown["nullable"] = "null" in kinds
    return shown
