"""Organisations: whom a consent, a contact or a document can name by an id."""

from __future__ import annotations

from functools import partial
from typing import Any

from services.consent.actions import organisations as actions
from services.consent.context import Context
from services.consent.model.organisations import Organisation, organisation_key
from services.consent.schemas.office import NamingIn, OrganisationIn, OrganisationOut, OrganisationPage
from shared.errors import NotFound
from shared.http import Anew, Blueprint, Inward, JsonResponse, PageArgs, allow, created, idempotent, ok, page
from shared.ids import new_id
from shared.security.roles import CASEWORK, CONSENT_READERS

_SERVICES = ("notifier", "document", "case")


def organisation_routes(context: Context) -> Blueprint:
    stores = context.stores
    blp = Blueprint("organisations", description="Organisations that are contacted, asked and shared with")

    def found(organisation_id: str) -> Organisation:
        organisation = stores.organisations.get(organisation_id)
        if organisation is None:
            raise NotFound(actions.NO_ORGANISATION)
        return organisation

    anew = Anew(find=lambda id, _: found(id), key=lambda made: organisation_key(made.id))

    @blp.route("/organisations", methods=["POST"])
    @allow(*CASEWORK, inward=Inward.YES)
    @blp.arguments(OrganisationIn)
    @blp.response(201, OrganisationOut)
    @idempotent(_made, anew=anew)
    def add_organisation(body: dict[str, Any]) -> Any:
        """Enter an organisation; its id is a `party`."""
        return actions.add_organisation(stores, Organisation(id=new_id(), all_known=True, **body))

    @blp.route("/organisations")
    @allow(*CONSENT_READERS, services=_SERVICES)
    @blp.arguments(PageArgs, location="query")
    @blp.response(200, OrganisationPage)
    def list_organisations(query: dict[str, Any]) -> Any:
        """Organisations, oldest first."""
        return ok(page(query, partial(stores.organisations.page, {}), OrganisationOut().dump))

    @blp.route("/organisations/<organisation_id>")
    @allow(*CONSENT_READERS, services=_SERVICES)
    @blp.response(200, OrganisationOut)
    def get_organisation(organisation_id: str) -> Any:
        """One organisation."""
        organisation = found(organisation_id)
        return ok(OrganisationOut().dump(organisation), etag=organisation.version)

    @blp.route("/organisations/<organisation_id>/namings", methods=["POST"])
    # What names it was let in by its own service, or is a legal duty.
    @allow(services=("case", "document"), inward=Inward.NO)
    @blp.arguments(NamingIn)
    @blp.response(200, OrganisationOut)
    def name_organisation(body: dict[str, Any], organisation_id: str) -> Any:
        """Keep it for as long as this case lasts: a record that is about to be made names it without a consent."""
        context.require_known(body["case_id"])
        actions.name_organisation(stores, id=organisation_id, case_id=body["case_id"])
        return ok(OrganisationOut().dump(found(organisation_id)))

    return blp


def _made(made: Organisation) -> JsonResponse:
    return created(OrganisationOut().dump(made), location=f"/v1/organisations/{made.id}", etag=made.version)
