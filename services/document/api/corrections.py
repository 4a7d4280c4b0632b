"""Correcting a document, and moving it to another case."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from flask import Response

from services.document import schemas
from services.document.actions import corrections, moves
from services.document.actions.documents import require_document
from services.document.api.documents import changed, shown
from services.document.context import Context
from services.document.model.documents import Document
from shared.http import (
    Blueprint,
    Inward,
    allow,
    audit_also,
    audit_case,
    check_if_match,
    current_caller,
    idempotent,
    ok,
)
from shared.security.roles import CASEWORK, CASEWORK_IN_PERSON


def correction_routes(context: Context) -> Blueprint:
    stores = context.stores
    blp = Blueprint("corrections", description="Putting right what was filed wrongly.")

    @blp.route("/documents/<document_id>", methods=["PATCH"])
    @allow(*CASEWORK, inward=Inward.YES)
    @blp.arguments(schemas.DocumentPatch)
    @blp.response(200, schemas.DocumentOut)
    def correct_document(body: Mapping[str, Any], document_id: str) -> Response:
        """Change title or kind. Its new kind may need a consent that isn't there: then it is quarantined."""
        audit_case(require_document(stores, document_id).case_id)
        document = corrections.correct_document(
            context, document_id=document_id, given=body, check=lambda found: check_if_match(found.version)
        )
        return ok(shown(stores, document), etag=document.version).response()

    @blp.route("/documents/<document_id>/move", methods=["POST"])
    @allow(*CASEWORK_IN_PERSON, inward=Inward.YES)
    @blp.arguments(schemas.MoveIn)
    @blp.response(200, schemas.DocumentOut)
    @idempotent(partial(changed, stores), claims_first=True)
    def move_document(body: Mapping[str, Any], document_id: str) -> Document:
        """Move it to another case with all its versions, and purge it where it was. A large one takes seconds."""
        audit_also(require_document(stores, document_id).case_id)
        context.require_known(body["case_id"])
        return moves.move_document(
            context, document_id=document_id, to=body["case_id"], reason=body["reason"], by=current_caller().sub
        )

    return blp
