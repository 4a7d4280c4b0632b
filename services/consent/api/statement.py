"""The privacy statement, and the public keys that receipts, consent receipts and certificates are checked with."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify

from services.consent.context import Context
from services.consent.schemas.office import StatementOut
from services.consent.statements import latest, text_of
from shared.errors import NotFound
from shared.http import Blueprint, JsonResponse, allow, ok
from shared.security.roles import ANYONE


def statement_routes() -> Blueprint:
    blp = Blueprint("statement", description="The privacy statement that families are shown, by version (P2)")

    @blp.route("/statement")
    @allow(*ANYONE, services=("notifier",), audited=False)
    @blp.response(200, StatementOut)
    def get_statement() -> Any:
        """The version that is shown now."""
        return _shown(latest())

    @blp.route("/statement/<version>")
    @allow(*ANYONE, services=("notifier",), audited=False)
    @blp.response(200, StatementOut)
    def get_statement_version(version: str) -> Any:
        """One version."""
        return _shown(version)

    return blp


def jwks(context: Context) -> Response:
    """The keys of receipts, consent receipts, readings, certificates and the ledger, past ones too; no token."""
    shown = ("receipt", "certificate", "consent_receipt", "reading", "ledger")
    return jsonify(keys=context.public_keys.published(*shown))


def _shown(version: str) -> JsonResponse:
    statement = text_of(version)
    if statement is None:
        raise NotFound("There is no such version of the statement.")
    return ok({"version": version, "text": statement.text, "sha256": statement.sha256})
