"""Contacts with organisations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flask import Response

from services.case.actions import contacts as actions
from services.case.actions.access import read_one, read_page
from services.case.context import Context
from services.case.model.contacts import Contact
from services.case.schemas import disclosures as schemas
from shared.clock import utc_now
from shared.http import Blueprint, Inward, JsonResponse, PageArgs, allow, created, current_caller, idempotent, ok, page
from shared.security.roles import CASE_READERS, CASEWORK

_SHOW = schemas.ContactOut()
_UNKNOWN: Final = "No such contact is known here."


def contact_routes(context: Context) -> Blueprint:
    stores = context.stores
    blp = Blueprint("contacts", description="Organisations that were spoken or written to for the family.")

    @blp.route("/cases/<case_id>/contacts", methods=["POST"])
    @allow(*CASEWORK, inward=Inward.YES)
    @blp.arguments(schemas.NewContact)
    @blp.response(201, schemas.ContactOut)
    @idempotent(_made)
    def record_contact(body: Mapping[str, Any], case_id: str) -> Contact:
        """Record a contact; 409 consent-required unless the family agrees to it now."""
        return actions.record_contact(context, case_id=case_id, **body, by=current_caller().sub, now=utc_now())

    @blp.route("/cases/<case_id>/contacts")
    @allow(*CASE_READERS)
    @blp.arguments(PageArgs, location="query")
    @blp.response(200, schemas.ContactPage)
    def list_contacts(query: Mapping[str, Any], case_id: str) -> Response:
        """In the order they were recorded."""
        now = utc_now()
        found = page(
            query,
            lambda after, limit: read_page(stores, stores.contacts, case_id=case_id, after=after, limit=limit, now=now),
            _shown,
        )
        return ok(found).response()

    @blp.route("/cases/<case_id>/contacts/<contact_id>")
    @allow(*CASE_READERS)
    @blp.response(200, schemas.ContactOut)
    def read_contact(case_id: str, contact_id: str) -> Response:
        """One contact."""
        now = utc_now()
        contact = read_one(stores, stores.contacts, case_id=case_id, id=contact_id, otherwise=_UNKNOWN, now=now)
        return ok(_shown(contact), etag=contact.version).response()

    return blp


def _shown(contact: Contact) -> dict[str, Any]:
    return dict(_SHOW.dump(contact))


def _made(contact: Contact) -> JsonResponse:
    location = f"/v1/cases/{contact.case_id}/contacts/{contact.id}"
    return created(_shown(contact), location=location, etag=contact.version, case_id=contact.case_id)
