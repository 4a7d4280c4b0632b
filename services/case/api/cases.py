"""Cases: shells, their state, and the search that finds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flask import Response

from services.case import schemas
from services.case.actions import cases as actions
from services.case.actions import search
from services.case.api.callers import audit_found, by_manager
from services.case.context import Context
from services.case.model.cases import CaseView
from shared.clock import utc_now
from shared.errors import Forbidden, Permanent
from shared.events import SERVICES
from shared.http import (
    Blueprint,
    Inward,
    JsonResponse,
    allow,
    check_if_match,
    created,
    idempotent,
    leave_no_trace,
    ok,
    page,
)
from shared.security.roles import CASE_READERS, CASEWORK

_OTHERS: Final = tuple(name for name in SERVICES if name != "case")
_SHOW = schemas.CaseOut()


def case_routes(context: Context) -> Blueprint:
    stores = context.stores
    blp = Blueprint("cases", description="Cases, from the shell to the end.")

    @blp.route("/cases", methods=["POST"])
    @allow(*CASEWORK, inward=Inward.YES)
    @blp.arguments(schemas.NewCase)
    @blp.response(201, schemas.CaseOut)
    @idempotent(_made)
    def start_case(body: Mapping[str, Any]) -> CaseView:
        """Make a shell: a reference, and nothing personal.

        The family hears the privacy statement next. With their consent the shell becomes an open case; without it the
        shell expires. A body with a personal field is refused.
        """
        return actions.start_case(stores, channel=body["channel"], life=context.shell_life, now=utc_now())

    @blp.route("/cases")
    @allow(*CASE_READERS)
    @blp.arguments(schemas.CaseQuery, location="query")
    @blp.response(200, schemas.CasePage)
    def list_cases(query: Mapping[str, Any]) -> Response:
        """Cases, oldest first."""
        now = utc_now()
        found = page(
            query,
            lambda after, limit: actions.list_cases(stores, state=query["state"], after=after, limit=limit, now=now),
            _shown,
            id_of=lambda view: view.case.id,
        )
        audit_found("cases.list_cases", [item["id"] for item in found["items"]])
        return ok(found).response()

    @blp.route("/cases/<case_id>")
    @allow(*CASE_READERS, services=_OTHERS)
    @blp.response(200, schemas.CaseOut)
    def read_case(case_id: str) -> Response:
        """One case with its people.

        `frozen` while an erasure is asked for. `reach` says how each person may be written to now.
        """
        view = actions.read_case(stores, case_id=case_id, now=utc_now())
        return ok(_shown(view), etag=view.etag).response()

    # Neither audited nor logged: an expired shell leaves no row and no line, so a declined one may not either (P8).
    @blp.route("/cases/<case_id>/ending", methods=["POST"])
    @allow(services=("consent",), audited=False, inward=Inward.NO)
    @blp.arguments(schemas.Ending)
    @blp.response(204)
    def end_shell(body: Mapping[str, Any], case_id: str) -> Response:
        """End a shell exactly as its expiry does."""
        leave_no_trace()
        try:
            actions.end_shell(context, case_id=case_id, grant=body["grant"])
        except Permanent as error:
            raise Forbidden("Only what the consent service signed ends a shell. Nothing was changed.") from error
        return Response(status=204)

    @blp.route("/cases/<case_id>/state", methods=["PUT"])
    @allow(*CASEWORK, inward=Inward.YES)
    @blp.arguments(schemas.NewState)
    @blp.response(200, schemas.CaseOut)
    def set_state(body: Mapping[str, Any], case_id: str) -> Response:
        """Open, inactive or closed; closing wants an outcome, reopening a manager."""
        view = actions.set_state(
            stores,
            case_id=case_id,
            state=body["state"],
            by_manager=by_manager(),
            if_match=check_if_match,
            now=utc_now(),
        )
        return ok(_shown(view), etag=view.etag).response()

    @blp.route("/cases/search", methods=["POST"])
    @allow(*CASE_READERS, inward=Inward.NO)
    @blp.arguments(schemas.Search)
    @blp.response(200, schemas.FoundItems)
    def search_cases(body: Mapping[str, Any]) -> Response:
        """Find cases by one thing that a family says.

        Exactly one of `reference`, `family_name` with `date_of_birth`, `postcode`, `email` and `phone`. Capitals,
        accents, spaces and punctuation don't matter.
        """
        found = search.find_cases(stores, given=body, now=utc_now())
        audit_found("cases.search_cases", [one.case_id for one in found])
        return ok(schemas.FoundItems().dump({"items": found})).response()

    return blp


def _shown(view: CaseView) -> dict[str, Any]:
    return dict(_SHOW.dump(view))


def _made(view: CaseView) -> JsonResponse:
    return created(_shown(view), location=f"/v1/cases/{view.case.id}", etag=view.etag, case_id=view.case.id)
