"""Organisations: whom a consent, a contact or a document can name by an id."""

from __future__ import annotations

from typing import Any

from services.consent.actions import consents as actions
from services.consent.schemas import OrganisationIn, OrganisationOut, OrganisationPage
from services.consent.store import Stores
from shared.errors import NotFound
from shared.http import Blueprint, Inward, JsonResponse, PageArgs, allow, created, idempotent, ok, page
from shared.ids import new_id

_CASEWORK = ("caseworker", "manager", "app")
_MAY_READ = (*_CASEWORK, "data_protection", "safeguarding_lead")
_ASKING = ("notifier", "document", "case")


def organisation_routes(stores: Stores) -> Blueprint:
    blp = Blueprint("organisations", description="Organisations that are contacted, asked and shared with")

    @blp.route("/organisations", methods=["POST"])
    @allow(*_CASEWORK, inward=Inward.YES)
    @blp.arguments(OrganisationIn)
    @blp.response(201, OrganisationOut)
    @idempotent(_made, office=True)
    def add_organisation(body: dict[str, Any]) -> Any:
        """Enter an organisation; its id is a `party`."""
        return actions.add_organisation(stores, id=new_id(), name=body["name"], kind=body["kind"])

    @blp.route("/organisations")
    @allow(*_MAY_READ, services=_ASKING)
    @blp.arguments(PageArgs, location="query")
    @blp.response(200, OrganisationPage)
    def list_organisations(query: dict[str, Any]) -> Any:
        """Organisations, oldest first."""

        def find(after: str | None, limit: int) -> list[Any]:
            return stores.organisations.find({}, after=after, limit=limit)

        def show(record: Any) -> dict[str, Any]:
            return {"id": record.id, **record.clear, **record.personal}

        return ok(page(query, find, show)).response()

    @blp.route("/organisations/<organisation_id>")
    @allow(*_MAY_READ, services=_ASKING)
    @blp.response(200, OrganisationOut)
    def get_organisation(organisation_id: str) -> Any:
        """One organisation."""
        record = stores.organisations.get(organisation_id)
        if record is None:
            raise NotFound("There is no such organisation here.")
        shown = OrganisationOut().dump({"id": record.id, **record.clear, **record.personal})
        return ok(shown, etag=record.version).response()

    return blp


def _made(made: Any) -> JsonResponse:
    return created(OrganisationOut().dump(made), location=f"/v1/organisations/{made['id']}", etag=1)
