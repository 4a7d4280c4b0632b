"""Holds: a recorded legal ground on which an erasure waits."""

from __future__ import annotations

from functools import partial
from typing import Any

from services.consent.actions import requests as actions
from services.consent.context import Context
from services.consent.model.requests import Hold
from services.consent.schemas.requests import HoldIn, HoldOut, HoldPage, HoldsQuery
from shared.clock import utc_now
from shared.errors import Conflict, Erased, NotFound
from shared.http import (
    Blueprint,
    Inward,
    JsonResponse,
    allow,
    audit_case,
    check_if_match,
    created,
    current_caller,
    forgetting_answers,
    idempotent,
    ok,
    page,
)
from shared.ids import new_id
from shared.security.roles import HOLDERS


def hold_routes(context: Context) -> Blueprint:
    stores = context.stores
    blp = Blueprint("holds", description="Legal grounds on which an erasure waits, until a date")

    def found(hold_id: str) -> Hold:
        hold = stores.holds.get(hold_id)
        if hold is None:
            raise NotFound(actions.NO_HOLD)
        audit_case(hold.case_id)
        return hold

    @blp.route("/holds", methods=["POST"])
    @allow(*HOLDERS, inward=Inward.NO)
    @blp.arguments(HoldIn)
    @blp.response(201, HoldOut)
    @idempotent(_made)
    def place_hold(body: dict[str, Any]) -> Any:
        """Place a hold."""
        try:
            context.require_known(body["case_id"])
        except Erased as error:
            raise Conflict("The erasure has begun: it can't be held any more. Nothing was stored.") from error
        placed = Hold(id=new_id(), placed_by=current_caller().sub, placed_at=utc_now(), **body)
        return actions.place_hold(stores, placed)

    @blp.route("/holds")
    @allow(*HOLDERS)
    @blp.arguments(HoldsQuery, location="query")
    @blp.response(200, HoldPage)
    def list_holds(query: dict[str, Any]) -> Any:
        """Holds, oldest first."""
        where = {"case_id": query["case_id"]} if "case_id" in query else {}
        if where:
            context.require_known(query["case_id"])
        return ok(page(query, partial(stores.holds.page, where), HoldOut().dump))

    @blp.route("/holds/<hold_id>")
    @allow(*HOLDERS)
    @blp.response(200, HoldOut)
    def get_hold(hold_id: str) -> Any:
        """One hold."""
        hold = found(hold_id)
        return ok(HoldOut().dump(hold), etag=hold.version)

    @blp.route("/holds/<hold_id>", methods=["DELETE"])
    @allow(*HOLDERS, inward=Inward.NO)
    @blp.response(204)
    def lift_hold(hold_id: str) -> Any:
        """Lift a hold; what it alone stood in the way of goes on."""
        hold = found(hold_id)
        check_if_match(hold.version)
        with forgetting_answers(case_id=hold.case_id, record=hold_id):
            actions.lift_hold(stores, hold_id=hold_id)
        return "", 204

    return blp


def _made(hold: Hold) -> JsonResponse:
    shown: dict[str, Any] = HoldOut().dump(hold)
    return created(shown, location=f"/v1/holds/{hold.id}", etag=hold.version, case_id=hold.case_id)
