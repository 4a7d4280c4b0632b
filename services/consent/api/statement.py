"""The privacy statement, and the public keys that receipts (of consents too) and certificates are checked with."""

from __future__ import annotations

from typing import Any

from flask import Flask, jsonify

from services.consent.schemas import StatementOut
from services.consent.statements import latest, text_of
from shared.errors import NotFound
from shared.http import JWKS_PATH, Blueprint, JsonResponse, allow, ok
from shared.security.signing import PublicKeys

_ANYONE = ("caseworker", "manager", "data_protection", "safeguarding_lead", "auditor", "app")


def statement_routes() -> Blueprint:
    blp = Blueprint("statement", description="The privacy statement that families are shown, by version (P2)")

    @blp.route("/statement")
    @allow(*_ANYONE, services=("notifier",), audited=False)
    @blp.response(200, StatementOut)
    def get_statement() -> Any:
        """The version that is shown now."""
        return _shown(latest()).response()

    @blp.route("/statement/<version>")
    @allow(*_ANYONE, services=("notifier",), audited=False)
    @blp.response(200, StatementOut)
    def get_statement_version(version: str) -> Any:
        """One version."""
        return _shown(version).response()

    return blp


def add_jwks(app: Flask, keys: PublicKeys) -> None:
    """Serve the keys of receipts, of consents too, and of certificates, past ones too; no token."""
    app.add_url_rule(
        JWKS_PATH, view_func=lambda: jsonify(keys=keys.published("receipt", "certificate", "consent_receipt"))
    )


def _shown(version: str) -> JsonResponse:
    statement = text_of(version)
    if statement is None:
        raise NotFound("There is no such version of the statement.")
    return ok({"version": version, "text": statement.text, "sha256": statement.sha256})
