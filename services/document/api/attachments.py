"""What an email has attached, filed as documents."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from services.document import schemas
from services.document.actions import attachments as actions
from services.document.actions.documents import require_document
from services.document.actions.incoming import Filed
from services.document.api.documents import filed
from services.document.context import Context
from shared.http import Blueprint, Inward, allow, audit_case, idempotent
from shared.security.roles import CASEWORK

_MOST_DIGITS = 4


def attachment_routes(context: Context) -> Blueprint:
    stores = context.stores
    blp = Blueprint("attachments", description="What emails have attached.")

    @blp.route("/documents/<document_id>/attachments/<number>", methods=["POST"])
    @allow(*CASEWORK, inward=Inward.YES)
    @blp.arguments(schemas.AttachmentIn)
    @blp.response(201, schemas.FiledOut)
    @idempotent(partial(filed, stores), claims_first=True)
    def file_attachment(body: Mapping[str, Any], document_id: str, number: str) -> Filed:
        """File an attachment of an email's newest version as a document of its own. A second time it is 409."""
        audit_case(require_document(stores, document_id).case_id)
        return actions.file_attachment(context, document_id=document_id, number=_number(number), **body)

    return blp


def _number(told: str) -> int:
    """The number in the path; 0, which no attachment has, for what is none."""
    return int(told) if told.isascii() and told.isdecimal() and len(told) <= _MOST_DIGITS else 0
