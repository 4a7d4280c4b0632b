"""What lies outside /v1 and needs no token: whether it lives and is ready, metrics, and the API's description."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flask_swagger_ui
import pymongo
from flask import Flask, Response, send_from_directory

from shared.errors import NotFound
from shared.http.kernel import Kernel
from shared.http.openapi import Description, as_json
from shared.ops.logs import log, where
from shared.ops.metrics import CONTENT_TYPE

JWKS_PATH = "/.well-known/jwks.json"
PUBLIC_PATHS = frozenset({"/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/<asset>", JWKS_PATH})
_CHECK_SECONDS = 2
# Swagger UI 5, which reads OpenAPI 3.1; flask-swagger-ui carries its files, and none of its code is used.
_SWAGGER_UI = Path(flask_swagger_ui.__file__).parent / "dist"
_ASSETS = {"swagger-ui.css": _SWAGGER_UI, "swagger-ui-bundle.js": _SWAGGER_UI}
_OWN = Path(__file__).with_name("docs")
_OWN_ASSETS = {"docs.css": "text/css", "docs.js": "text/javascript"}
# No inline script, and nothing of another origin.
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
# Addresses are relative, so that the page works behind a gateway at /<service>/docs too.
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css"><link rel="stylesheet" href="docs/docs.css"></head>
<body><main id="api"><noscript>The description is at <a href="openapi.json">openapi.json</a>.</noscript></main>
<script src="docs/swagger-ui-bundle.js"></script><script src="docs/docs.js"></script></body>
</html>
"""


def add_pages(app: Flask, description: Description, kernel: Kernel, checks: Mapping[str, Callable[[], object]]) -> None:
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

    def openapi_json() -> Response:
        return Response(as_json(description.published), content_type="application/json")

    def docs() -> Response:
        page = _PAGE.format(title=f"Forget-me-not: the API of the {kernel.service} service")
        return Response(page, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": _CSP})

    def docs_asset(asset: str) -> Response:
        if asset in _OWN_ASSETS:
            return send_from_directory(_OWN, asset, mimetype=_OWN_ASSETS[asset])
        if asset not in _ASSETS:
            raise NotFound("There is nothing at this path.")
        return send_from_directory(_ASSETS[asset], asset)

    app.add_url_rule("/livez", view_func=livez)
    app.add_url_rule("/readyz", view_func=readyz)
    app.add_url_rule("/metrics", view_func=metrics)
    app.add_url_rule("/openapi.json", view_func=openapi_json)
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
