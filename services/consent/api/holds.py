"""Holds: a recorded legal ground on which an erasure waits."""

from __future__ import annotations

from typing import Any

from services.consent.actions import requests as actions
from services.consent.model.requests import Hold
from services.consent.schemas import HoldIn, HoldOut, HoldPage, HoldsQuery
from services.consent.store import Stores
from services.consent.store.records import hold as to_hold
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
    idempotent,
    ok,
    page,
)
from shared.ids import new_id
from shared.service.service import Kit

_MAY_HOLD = ("manager", "safeguarding_lead", "data_protection")


def hold_routes(kit: Kit, stores: Stores) -> Blueprint:
    blp = Blueprint("holds", description="Legal grounds on which an erasure waits, until a date")

    def found(hold_id: str) -> Hold:
        record = stores.holds.get(hold_id)
        if record is None:
            raise NotFound("There is no such hold here.")
        audit_case(str(record.case_id))
        return to_hold(record)

    @blp.route("/holds", methods=["POST"])
    @allow(*_MAY_HOLD, inward=Inward.NO)
    @blp.arguments(HoldIn)
    @blp.response(201, HoldOut)
    @idempotent(_made)
    def place_hold(body: dict[str, Any]) -> Any:
        """Place a hold."""
        try:
            kit.known(body["case_id"])
        except Erased as error:
            raise Conflict("The erasure has begun: it can't be held any more. Nothing was stored.") from error
        return actions.place_hold(
            stores,
            id=new_id(),
            case_id=body["case_id"],
            ground=body["ground"],
            until=body["until"],
            reason=body["reason"],
            placed_by=current_caller().sub,
            now=utc_now(),
        )

    @blp.route("/holds")
    @allow(*_MAY_HOLD)
    @blp.arguments(HoldsQuery, location="query")
    @blp.response(200, HoldPage)
    def list_holds(query: dict[str, Any]) -> Any:
        """Holds, oldest first."""
        where = {"case_id": query["case_id"]} if "case_id" in query else {}
        if where:
            kit.known(query["case_id"])

        def find(after: str | None, limit: int) -> list[Hold]:
            return [to_hold(record) for record in stores.holds.find(where, after=after, limit=limit)]

        return ok(page(query, find, lambda hold: HoldOut().dump(hold))).response()

    @blp.route("/holds/<hold_id>")
    @allow(*_MAY_HOLD)
    @blp.response(200, HoldOut)
    def get_hold(hold_id: str) -> Any:
        """One hold."""
        hold = found(hold_id)
        return ok(HoldOut().dump(hold), etag=hold.version).response()

    @blp.route("/holds/<hold_id>", methods=["DELETE"])
    @allow(*_MAY_HOLD, inward=Inward.NO)
    @blp.response(204)
    def lift_hold(hold_id: str) -> Any:
        """Lift a hold; what it alone stood in the way of goes on."""
        check_if_match(found(hold_id).version)
        actions.lift_hold(stores, hold_id=hold_id)
        return "", 204

    return blp


def _made(hold: Hold) -> JsonResponse:
    shown: dict[str, Any] = HoldOut().dump(hold)
    return created(shown, location=f"/v1/holds/{hold.id}", etag=hold.version, case_id=hold.case_id)
