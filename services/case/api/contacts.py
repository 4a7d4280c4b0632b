"""Contacts with organisations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response

from services.case.actions import contacts as actions
from services.case.actions.outward import Asks
from services.case.api.callers import READERS, WRITERS
from services.case.model.contacts import Contact
from services.case.schemas import disclosures as schemas
from services.case.store import CaseStores
from shared.clock import utc_now
from shared.http import Blueprint, Inward, JsonResponse, PageArgs, allow, created, current_caller, idempotent, ok, page

_SHOW = schemas.ContactOut()


def contact_routes(stores: CaseStores, calls: Asks) -> Blueprint:
    blp = Blueprint("contacts", description="Organisations that were spoken or written to for the family.")

    @blp.route("/cases/<case_id>/contacts", methods=["POST"])
    @allow(*WRITERS, inward=Inward.YES)
    @blp.arguments(schemas.NewContact)
    @blp.response(201, schemas.ContactOut)
    @idempotent(_made)
    def record_contact(body: Mapping[str, Any], case_id: str) -> Contact:
        """Record a contact; 409 consent-required unless the family agrees to it now."""
        return actions.record_contact(stores, calls, case_id=case_id, **body, by=current_caller().sub, now=utc_now())

    @blp.route("/cases/<case_id>/contacts")
    @allow(*READERS)
    @blp.arguments(PageArgs, location="query")
    @blp.response(200, schemas.ContactPage)
    def list_contacts(query: Mapping[str, Any], case_id: str) -> Response:
        """In the order they were recorded."""
        now = utc_now()
        found = page(
            query,
            lambda after, limit: actions.list_contacts(stores, case_id=case_id, after=after, limit=limit, now=now),
            _shown,
        )
        return ok(found).response()

    @blp.route("/cases/<case_id>/contacts/<contact_id>")
    @allow(*READERS)
    @blp.response(200, schemas.ContactOut)
    def read_contact(case_id: str, contact_id: str) -> Response:
        """One contact."""
        contact = actions.read_contact(stores, case_id=case_id, contact_id=contact_id, now=utc_now())
        return ok(_shown(contact), etag=contact.version).response()

    return blp


def _shown(contact: Contact) -> dict[str, Any]:
    return dict(_SHOW.dump(contact))


def _made(contact: Contact) -> JsonResponse:
    location = f"/v1/cases/{contact.case_id}/contacts/{contact.id}"
    return created(_shown(contact), location=location, etag=contact.version, case_id=contact.case_id)
