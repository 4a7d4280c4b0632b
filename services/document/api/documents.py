"""Documents: filing, listing, reading what is known of one, removing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from flask import Response

from services.document import schemas
from services.document.actions import attachments
from services.document.actions import documents as actions
from services.document.actions.incoming import Filed
from services.document.api.described import described
from services.document.api.incoming import IncomingForm
from services.document.context import Context
from services.document.model.documents import Document
from services.document.store import Stores
from shared.http import (
    Blueprint,
    Inward,
    JsonResponse,
    allow,
    audit_case,
    check_if_match,
    created,
    current_kernel,
    forgetting_answers,
    idempotent,
    ok,
    page,
)
from shared.security.roles import CASE_READERS, CASEWORK, CASEWORK_IN_PERSON

_SHOW = schemas.DocumentOut(exclude=("attachments",))
_SHOW_ATTACHMENTS = schemas.AttachmentOut(many=True)


def shown(stores: Stores, document: Document) -> dict[str, Any]:
    """The document as it is answered; an email with what it has attached."""
    body: dict[str, Any] = _SHOW.dump(document)
    if (listed := attachments.listed(stores, document)) is not None:
        body["attachments"] = _SHOW_ATTACHMENTS.dump(listed)
    return body


def changed(stores: Stores, document: Document) -> JsonResponse:
    """The answer to what was done with a document."""
    return ok(shown(stores, document), etag=document.version).about(document.case_id)


def filed(stores: Stores, filed: Filed) -> JsonResponse:
    """The answer to a document that was filed."""
    document = filed.document
    body = shown(stores, document) | ({} if filed.same_as is None else {"same_as": filed.same_as})
    location = f"/v1/documents/{document.id}"
    return created(body, location=location, etag=document.version, case_id=document.case_id)


def _identity_of_upload() -> bytes:
    return IncomingForm(current_kernel().settings.upload_limit_bytes).read_without_keeping()


def document_routes(context: Context) -> Blueprint:
    stores = context.stores
    blp = Blueprint("documents", description="The files a case has: scans, plans, letters.")
    form = {"multipart/form-data": {"schema": schemas.DocumentForm}}

    @blp.route("/cases/<case_id>/documents", methods=["POST"])
    @allow(*CASEWORK, inward=Inward.YES)
    @described(blp, requestBody={"required": True, "content": form})
    @blp.response(201, schemas.FiledOut)
    @idempotent(partial(filed, stores), upload=_identity_of_upload)
    def file_document(case_id: str) -> Filed:
        """File a document. From others than the family it is quarantined unless they agreed to have it.

        A form with `file` and the other fields, in any order. The bytes are encrypted as they arrive. Whether the
        caller may file it is settled before the body is read.
        """
        context.require_known(case_id)
        incoming = IncomingForm(context.upload_limit)
        return actions.file_document(context, case_id=case_id, incoming=incoming)

    @blp.route("/cases/<case_id>/documents")
    @allow(*CASE_READERS)
    @blp.arguments(schemas.PageArgs, location="query")
    @blp.response(200, schemas.DocumentPage)
    def list_documents(query: Mapping[str, Any], case_id: str) -> Response:
        """The case's documents, each with its newest version."""
        context.require_known(case_id)

        def find(after: str | None, limit: int) -> list[Document]:
            return actions.list_documents(stores, case_id=case_id, after=after, limit=limit)

        return ok(page(query, find, partial(shown, stores))).response()

    @blp.route("/documents/<document_id>")
    @allow(*CASE_READERS, services=("consent",))
    @blp.response(200, schemas.DocumentOut)
    def read_document(document_id: str) -> Response:
        """What is known of a document and its newest version."""
        document = actions.require_document(stores, document_id)
        audit_case(document.case_id)
        return ok(shown(stores, document), etag=document.version).response()

    @blp.route("/documents/<document_id>", methods=["DELETE"])
    @allow(*CASEWORK_IN_PERSON, inward=Inward.NO)
    @blp.response(204)
    def remove_document(document_id: str) -> Response:
        """Forget a document and all its versions."""
        case_id = actions.require_document(stores, document_id).case_id
        audit_case(case_id)
        with forgetting_answers(case_id=case_id, record=document_id):
            actions.remove_document(
                stores, document_id=document_id, check=lambda document: check_if_match(document.version)
            )
        return Response(status=204)

    return blp
