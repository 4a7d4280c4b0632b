"""Requests of the family: log, follow, confirm, end early; receipts and the certificate."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial, wraps
from http import HTTPStatus
from typing import Any

from flask import Response

from services.consent.actions import requests as actions
from services.consent.actions.others import role_of
from services.consent.context import Context
from services.consent.model.requests import STANDING, Phase, Request, Status, request_key, waiting_on
from services.consent.schemas.requests import (
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
from services.consent.store import Stores, queries
from shared.clock import CLOCKS_DIFFER, utc_now
from shared.errors import Conflict, Erased, Invalid, NotFound
from shared.http import (
    Anew,
    Blueprint,
    Body,
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
from shared.security.roles import ANYONE, MANAGER, REQUEST_CONFIRMERS, REQUEST_LOGGERS
from shared.uk.working_days import end_of_day, london_day


def request_routes(context: Context) -> Blueprint:
    stores = context.stores
    blp = Blueprint("requests", description="What families ask of their data, and how far it has come")

    def shown(request: Request) -> dict[str, Any]:
        return _shown(stores, request)

    def render(result: Any) -> JsonResponse:
        request, new = result if isinstance(result, tuple) else (result, False)
        if not new:
            return ok(shown(request), etag=request.version)
        return created(
            shown(request), location=f"/v1/requests/{request.id}", etag=request.version, case_id=request.case_id
        )

    def found(request_id: str) -> Request:
        request = stores.requests.get(request_id)
        if request is None:
            raise NotFound(actions.NO_REQUEST)
        audit_case(request.case_id)
        return request

    # A request is shown as it is when the answer is repeated: no answer is kept that says who asked.
    anew = Anew(find=lambda id, status: (found(id), status == HTTPStatus.CREATED), key=_key_of_answer)

    def changing(rule: str, body: type[Body], *roles: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A route that works a request: audited under its case, whether that is frozen, closed or open."""

        def mark(view: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(view)
            def changed(said: dict[str, Any], request_id: str) -> Any:
                found(request_id)
                return view(said, request_id)

            described = blp.arguments(body)(blp.response(200, RequestOut)(idempotent(render, anew=anew)(changed)))
            return blp.route(f"/requests/<request_id>/{rule}", methods=["POST"])(
                allow(*roles, inward=Inward.NO)(described)
            )

        return mark

    @blp.route("/requests", methods=["POST"])
    @allow(*REQUEST_LOGGERS, inward=Inward.NO)
    @blp.arguments(RequestIn)
    @blp.response(201, RequestOut)
    @blp.alternative(200, RequestOut, description="It joined the open one")
    @idempotent(render, anew=anew)
    def log_request(body: dict[str, Any]) -> Any:
        """Log a request and freeze the case; or join the open one (200).

        `received_at` is when the family asked: the days count from then. An erasure is of the whole case, so `about` is
        left out. A colleague confirms it before anything is erased.
        """
        now = utc_now()
        _check(context, body, now)
        personal: dict[str, Any] = {name: body[name] for name in ("made_by", "note", "late_reason") if name in body}
        return actions.log_erasure(
            context,
            id=new_id(),
            case_id=body["case_id"],
            received_at=body["received_at"],
            channel=body["channel"],
            personal=personal,
            identity_settled=body["identity"] == "settled",
            logged_by=current_caller().sub,
            now=now,
        )

    @blp.route("/requests")
    @allow(*ANYONE)
    @blp.arguments(RequestsQuery, location="query")
    @blp.response(200, RequestPage)
    def list_requests(query: dict[str, Any]) -> Any:
        """Requests, oldest first."""
        where: dict[str, Any] = {name: query[name] for name in ("status", "case_id") if name in query}
        if "due_before" in query:
            where["due_at"] = {"$lte": end_of_day(query["due_before"])}
        return ok(page(query, partial(stores.requests.page, where), shown))

    @blp.route("/requests/<request_id>")
    @allow(*ANYONE)
    @blp.response(200, RequestOut)
    def get_request(request_id: str) -> Any:
        """One request, and what stands between now and done.

        `waiting_on` names only what the present step waits for: `confirmation`, `identity` and `hold` before the
        erasure has begun; `letter` while the last letter is written; a service until its receipt is in; `paper` and
        `elsewhere` until all of it is certified.
        """
        request = found(request_id)
        return ok(shown(request), etag=request.version)

    @changing("confirmation", ConfirmationIn, *REQUEST_CONFIRMERS)
    def confirm_request(body: dict[str, Any], request_id: str) -> Any:
        """Confirm an erasure that another person logged.

        `checked` holds all of `family`, `authority` and `safeguarding`. 403 for the caller who logged it.
        """
        return actions.confirm(stores, request_id=request_id, checked=body["checked"], sub=current_caller().sub)

    @changing("identity", IdentityIn, *REQUEST_LOGGERS)
    def settle_identity(body: dict[str, Any], request_id: str) -> Any:
        """Say whether it is in doubt who asked."""
        return actions.settle_identity(stores, request_id=request_id, settled=body["outcome"] == "settled")

    @changing("withdrawal", EndedIn, *REQUEST_LOGGERS)
    def withdraw_request(body: dict[str, Any], request_id: str) -> Any:
        """The family has taken it back."""
        return actions.end_early(context, request_id=request_id, status=Status.WITHDRAWN)

    @changing("refusal", RefusalIn, MANAGER)
    def refuse_request(body: dict[str, Any], request_id: str) -> Any:
        """Refuse it, on a ground and with the words told to the family."""
        return actions.end_early(context, request_id=request_id, status=Status.REFUSED)

    @changing("void", VoidIn, MANAGER)
    def void_request(body: dict[str, Any], request_id: str) -> Any:
        """It was logged in error."""
        return actions.end_early(context, request_id=request_id, status=Status.VOID)

    @changing("last-letter", LastLetterIn, MANAGER)
    def settle_last_letter(body: dict[str, Any], request_id: str) -> Any:
        """Settle how a last letter ended that can't go."""
        return actions.settle_letter(stores, request_id=request_id, outcome=body["outcome"])

    @changing("elsewhere", ElsewhereIn, *REQUEST_CONFIRMERS)
    def certify_elsewhere(body: dict[str, Any], request_id: str) -> Any:
        """Certify that a place outside the software is emptied."""
        return actions.certify_elsewhere(stores, request_id=request_id, place=body["place"])

    @blp.route("/requests/<request_id>/receipts")
    @allow(*ANYONE)
    @blp.response(200, ReceiptList)
    def list_receipts(request_id: str) -> Any:
        """Every receipt, oldest first.

        Each service signs what it found, deleted and read back. A second receipt follows where something was `late`.
        """
        found(request_id)
        receipts = queries.receipts_of(stores, request_id)
        return ok({"items": ReceiptOut(many=True).dump(receipts), "next": None})

    @blp.route("/requests/<request_id>/certificate")
    @allow(*ANYONE)
    @blp.response(200, content_type="application/jose")
    def get_certificate(request_id: str) -> Any:
        """The certificate, as a compact JWS.

        Any JOSE library verifies it with the keys at `/.well-known/jwks.json`. 409 until the request is completed.
        """
        request = found(request_id)
        if request.status is not Status.COMPLETED or request.certificate is None:
            raise Conflict("It is not completed yet, so there is no certificate.")
        return Response(request.certificate, content_type="application/jose")

    return blp


def _check(context: Context, body: dict[str, Any], now: datetime) -> None:
    """What a request must be before it is logged. Raises Invalid, or NotFound for a case that no service knows."""
    wrong: dict[str, list[str]] = {}
    if body["received_at"] > now + CLOCKS_DIFFER:
        wrong["received_at"] = ["It can't have been received in the future."]
    elif london_day(body["received_at"]).year < 2000:
        wrong["received_at"] = ["This is too long ago to be when it was received."]
    if "about" in body:
        wrong["about"] = ["An erasure is of the whole case: leave this out."]
    if wrong:
        raise Invalid("The request can't be logged as it stands. Nothing was stored.", errors=wrong)
    try:
        context.require_known(body["case_id"])
    except Erased:
        # Logged all the same: it completes with "nothing is held".
        return
    person_id = body["made_by"].get("person_id")
    if person_id is not None and role_of(context, body["case_id"], person_id) is None:
        said = {"made_by.person_id": ["This is no person of the case."]}
        raise Invalid("The request can't be logged as it stands. Nothing was stored.", errors=said)


def _key_of_answer(result: Any) -> str:
    request: Request = result[0] if isinstance(result, tuple) else result
    # Once an erasure begins the case's key is about to go: then nothing of the body is kept.
    goes = request.own_key or request.is_beginning or request.begun
    return request_key(request.id) if goes else request.case_id


def _shown(stores: Stores, request: Request) -> dict[str, Any]:
    shown: dict[str, Any] = RequestOut().dump(request)
    waits: list[str] = []
    if request.status in STANDING:
        held = queries.is_held(stores, request.case_id, london_day(utc_now()))
        waits = waiting_on(request, queries.receipts_of(stores, request.id), held=held)
        if not waits and request.phase is Phase.VERIFIED and (reading := stores.readings.get(request.id)) is not None:
            # The independent reader found something there, or couldn't read.
            waits = list(reading.waits)
    shown["waiting_on"] = waits
    if request.status is not Status.COMPLETED:
        shown.pop("completed_at")
    return shown
