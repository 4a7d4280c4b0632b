"""Requests of the family: log, follow, confirm, end early; receipts and the certificate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response

from services.consent.actions import requests as actions
from services.consent.actions import reviews
from services.consent.model.consents import CLOCK_LEEWAY
from services.consent.model.requests import STANDING, Request, Status, waiting_on
from services.consent.schemas import (
    ConfirmationIn,
    ElsewhereIn,
    EndedIn,
    IdentityIn,
    LastLetterIn,
    ReceiptList,
    ReceiptOut,
    RefusalIn,
    RequestIn,
    RequestOut,
    RequestPage,
    RequestsQuery,
    VoidIn,
)
from services.consent.store import Stores
from services.consent.store.records import request as to_request
from shared.clock import utc_now
from shared.db.unit_of_work import Tx
from shared.errors import Conflict, Erased, Invalid, NotFound
from shared.http import (
    Blueprint,
    Inward,
    JsonResponse,
    allow,
    audit_case,
    created,
    current_caller,
    idempotent,
    ok,
    page,
)
from shared.ids import new_id
from shared.service.service import Kit
from shared.uk.working_days import end_of_day, london_day

_MAY_LOG = ("caseworker", "manager", "app", "data_protection")
_MAY_FOLLOW = (*_MAY_LOG, "auditor", "safeguarding_lead")
_MAY_CONFIRM = ("caseworker", "manager", "data_protection")


def request_routes(kit: Kit, stores: Stores) -> Blueprint:
    blp = Blueprint("requests", description="What families ask of their data, and how far it has come")

    def shown(request: Request) -> dict[str, Any]:
        return _shown(stores, request)

    def go_on(tx: Tx, case_id: str) -> None:
        """What a case that is released goes on with."""
        reviews.restart(stores, tx, case_id)

    def render(result: Any) -> JsonResponse:
        request, new = result if isinstance(result, tuple) else (result, False)
        if not new:
            return ok(shown(request), etag=request.version)
        return created(
            shown(request), location=f"/v1/requests/{request.id}", etag=request.version, case_id=request.case_id
        )

    def changing(rule: str, *roles: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A route that works a request: audited under its case, whatever its gate says."""

        def mark(view: Callable[..., Any]) -> Callable[..., Any]:
            return blp.route(f"/requests/<request_id>/{rule}", methods=["POST"])(allow(*roles, inward=Inward.NO)(view))

        return mark

    def found(request_id: str) -> Request:
        request = stores.request(request_id)
        if request is None:
            raise NotFound(actions.NO_REQUEST)
        audit_case(request.case_id)
        return request

    @blp.route("/requests", methods=["POST"])
    @allow(*_MAY_LOG, inward=Inward.NO)
    @blp.arguments(RequestIn)
    @blp.response(201, RequestOut)
    @idempotent(render, office=True)
    def log_request(body: dict[str, Any]) -> Any:
        """Log a request and freeze the case; or join the open one (200)."""
        now = utc_now()
        _check(kit, stores, body, now)
        personal: dict[str, Any] = {name: body[name] for name in ("made_by", "note", "late_reason") if name in body}
        return actions.log_erasure(
            stores,
            id=new_id(),
            case_id=body["case_id"],
            received_at=body["received_at"],
            channel=body["channel"],
            personal=personal,
            identity_settled=body["identity"] == "settled",
            logged_by=current_caller().sub,
            elsewhere=kit.settings.elsewhere,
            now=now,
        )

    @blp.route("/requests")
    @allow(*_MAY_FOLLOW)
    @blp.arguments(RequestsQuery, location="query")
    @blp.response(200, RequestPage)
    def list_requests(query: dict[str, Any]) -> Any:
        """Requests, oldest first."""
        where: dict[str, Any] = {name: query[name] for name in ("status", "case_id") if name in query}
        if "due_before" in query:
            where["due_at"] = {"$lte": end_of_day(query["due_before"])}

        def find(after: str | None, limit: int) -> list[Request]:
            return [to_request(r) for r in stores.requests.find(where, after=after, limit=limit)]

        return ok(page(query, find, shown)).response()

    @blp.route("/requests/<request_id>")
    @allow(*_MAY_FOLLOW)
    @blp.response(200, RequestOut)
    def get_request(request_id: str) -> Any:
        """One request, and what stands between now and done."""
        request = found(request_id)
        return ok(shown(request), etag=request.version).response()

    @changing("confirmation", *_MAY_CONFIRM)
    @blp.arguments(ConfirmationIn)
    @blp.response(200, RequestOut)
    @idempotent(render, office=True)
    def confirm(body: dict[str, Any], request_id: str) -> Any:
        """Confirm an erasure that somebody else logged."""
        found(request_id)
        return actions.confirm(stores, request_id=request_id, checked=body["checked"], sub=current_caller().sub)

    @changing("identity", *_MAY_LOG)
    @blp.arguments(IdentityIn)
    @blp.response(200, RequestOut)
    @idempotent(render, office=True)
    def settle_identity(body: dict[str, Any], request_id: str) -> Any:
        """Say whether it is in doubt who asked."""
        found(request_id)
        return actions.settle_identity(stores, request_id=request_id, settled=body["outcome"] == "settled")

    @changing("withdrawal", *_MAY_LOG)
    @blp.arguments(EndedIn)
    @blp.response(200, RequestOut)
    @idempotent(render, office=True)
    def withdraw_request(body: dict[str, Any], request_id: str) -> Any:
        """The family has taken it back."""
        found(request_id)
        return actions.end_early(stores, request_id=request_id, status=Status.WITHDRAWN, released=go_on)

    @changing("refusal", "manager")
    @blp.arguments(RefusalIn)
    @blp.response(200, RequestOut)
    @idempotent(render, office=True)
    def refuse_request(body: dict[str, Any], request_id: str) -> Any:
        """Refuse it, on a ground and with the words told to the family."""
        found(request_id)
        return actions.end_early(stores, request_id=request_id, status=Status.REFUSED, released=go_on)

    @changing("void", "manager")
    @blp.arguments(VoidIn)
    @blp.response(200, RequestOut)
    @idempotent(render, office=True)
    def void_request(body: dict[str, Any], request_id: str) -> Any:
        """It was logged in error."""
        found(request_id)
        return actions.end_early(stores, request_id=request_id, status=Status.VOID, released=go_on)

    @changing("last-letter", "manager")
    @blp.arguments(LastLetterIn)
    @blp.response(200, RequestOut)
    @idempotent(render, office=True)
    def settle_last_letter(body: dict[str, Any], request_id: str) -> Any:
        """Settle how a last letter ended that can't go."""
        found(request_id)
        return actions.settle_letter(stores, request_id=request_id, outcome=body["outcome"])

    @changing("elsewhere", *_MAY_CONFIRM)
    @blp.arguments(ElsewhereIn)
    @blp.response(200, RequestOut)
    @idempotent(render, office=True)
    def certify_elsewhere(body: dict[str, Any], request_id: str) -> Any:
        """Certify that a place outside the software is emptied."""
        found(request_id)
        return actions.certify_elsewhere(stores, request_id=request_id, place=body["place"])

    @blp.route("/requests/<request_id>/receipts")
    @allow(*_MAY_FOLLOW)
    @blp.response(200, ReceiptList)
    def list_receipts(request_id: str) -> Any:
        """Every receipt, oldest first."""
        found(request_id)
        receipts = stores.receipts_of(request_id)
        return ok({"items": ReceiptOut(many=True).dump(receipts), "next": None}).response()

    @blp.route("/requests/<request_id>/certificate")
    @allow(*_MAY_FOLLOW)
    @blp.response(200, content_type="application/jose")
    def get_certificate(request_id: str) -> Any:
        """The certificate, as a compact JWS."""
        request = found(request_id)
        if request.status is not Status.COMPLETED or request.certificate is None:
            raise Conflict("It is not completed yet, so there is no certificate.")
        return Response(request.certificate, content_type="application/jose")

    return blp


def _check(kit: Kit, stores: Stores, body: dict[str, Any], now: Any) -> None:
    """What a request must be before it is logged. Raises Invalid, or NotFound for a case nobody knows."""
    wrong: dict[str, list[str]] = {}
    if body["received_at"] > now + CLOCK_LEEWAY:
        wrong["received_at"] = ["It can't have been received in the future."]
    elif london_day(body["received_at"]).year < 2000:
        wrong["received_at"] = ["This is too long ago to be when it was received."]
    if "about" in body:
        wrong["about"] = ["An erasure is of the whole case: leave this out."]
    if wrong:
        raise Invalid("The request can't be logged as it stands. Nothing was stored.", errors=wrong)
    try:
        kit.known(body["case_id"])
    except Erased:
        # Logged all the same: it completes with "nothing is held".
        return
    person_id = body["made_by"].get("person_id")
    if person_id is None or any(p["person"] == person_id for p in stores.people_of(body["case_id"])):
        return
    people = kit.calls.get("case", f"/cases/{body['case_id']}").get("people", [])
    if not any(person["id"] == person_id for person in people):
        said = {"made_by.person_id": ["This is no person of the case."]}
        raise Invalid("The request can't be logged as it stands. Nothing was stored.", errors=said)


def _shown(stores: Stores, request: Request) -> dict[str, Any]:
    shown: dict[str, Any] = RequestOut().dump(request)
    waits: list[str] = []
    if request.status in STANDING:
        held = stores.is_held(request.case_id, london_day(utc_now()))
        waits = waiting_on(request, stores.receipts_of(request.id), held=held)
    shown["waiting_on"] = waits
    if request.status is not Status.COMPLETED:
        shown.pop("completed_at")
    return shown
