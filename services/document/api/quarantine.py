"""Quarantine: the office's list, and the ways out that a person takes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from flask import Response

from services.document import schemas
from services.document.actions import quarantine as actions
from services.document.actions.documents import require_document
from services.document.api.documents import changed, shown
from services.document.context import Context
from services.document.model.documents import Document
from shared.http import (
    Blueprint,
    Inward,
    allow,
    audit_case,
    current_caller,
    idempotent,
    ok,
    page,
)
from shared.security.roles import CASE_READERS, CASEWORK_IN_PERSON, MANAGER


def quarantine_routes(context: Context) -> Blueprint:
    stores = context.stores
    blp = Blueprint("quarantine", description="Documents that are kept closed, and the way out.")

    @blp.route("/documents")
    @allow(*CASE_READERS)
    @blp.arguments(schemas.DocumentsQuery, location="query")
    @blp.response(200, schemas.DocumentPage)
    def list_quarantine(query: Mapping[str, Any]) -> Response:
        """The office's documents in quarantine, or those that were returned."""

        def find(after: str | None, limit: int) -> list[Document]:
            return actions.list_by_state(stores, state=query["state"], reason=query["reason"], after=after, limit=limit)

        return ok(page(query, find, partial(shown, stores))).response()

    @blp.route("/documents/<document_id>/release", methods=["POST"])
    @allow(MANAGER, inward=Inward.NO)
    @blp.arguments(schemas.ReleaseIn)
    @blp.response(200, schemas.DocumentOut)
    @idempotent(partial(changed, stores))
    def release_document(body: Mapping[str, Any], document_id: str) -> Document:
        """Open it on a manager's word. After malware, want of consent keeps it closed. 409 outside quarantine."""
        audit_case(require_document(stores, document_id).case_id)
        sub = current_caller().sub
        return actions.release_document(context, document_id=document_id, by=sub, reason=body["reason"])

    @blp.route("/documents/<document_id>/return", methods=["POST"])
    @allow(*CASEWORK_IN_PERSON, inward=Inward.NO)
    @blp.arguments(schemas.ReturnIn)
    @blp.response(200, schemas.DocumentOut)
    @idempotent(partial(changed, stores))
    def return_document(body: Mapping[str, Any], document_id: str) -> Document:
        """Record that it was given back, and destroy its content in all versions. 409 outside quarantine."""
        audit_case(require_document(stores, document_id).case_id)
        sub = current_caller().sub
        return actions.return_document(context, document_id=document_id, to=body["to"], by=body["by"], sub=sub)

    return blp
