"""Consents, their withdrawal and their receipts, decisions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from flask import Response, request

from services.consent.actions import consents as actions
from services.consent.actions.consent_receipts import CONSENT_RECEIPT_TYPE, consent_receipt
from services.consent.actions.endings import grant_ending
from services.consent.actions.others import others_about
from services.consent.context import Context
from services.consent.model.consents import Consent, Grant
from services.consent.model.histories import history
from services.consent.schemas.consents import (
    ConsentIn,
    ConsentOut,
    ConsentPage,
    ConsentsQuery,
    DecisionOut,
    DecisionQuery,
    DeclinedOut,
    ShownConsent,
    WithdrawalIn,
    WithdrawalOut,
    flat,
)
from services.consent.statements import text_of
from services.consent.store import Stores, queries
from shared.clock import utc_now
from shared.conversion import from_plain
from shared.db.gates import CLOSED, ERASED_SENTENCE
from shared.errors import Conflict, Erased, Invalid, NotFound
from shared.http import (
    Blueprint,
    Inward,
    JsonResponse,
    allow,
    audit_case,
    created,
    current_caller,
    forget_answer,
    idempotent,
    leave_no_trace,
    ok,
    page,
    require_room,
)
from shared.ids import new_id
from shared.security.roles import CASEWORK, CONSENT_READERS
from shared.uk.working_days import london_day

_JOSE, _JSON = "application/jose", "application/json"


def consent_routes(context: Context) -> Blueprint:
    stores = context.stores
    blp = Blueprint("consents", description="Consents, asked with the words of the statement, and what they allow")

    @blp.route("/consents", methods=["POST"])
    @allow(*CASEWORK, inward=Inward.BY_BODY)
    @blp.arguments(ConsentIn)
    @blp.response(201, ConsentOut)
    @blp.alternative(200, DeclinedOut, description="A decline")
    @idempotent(_consent_made)
    def give_consent(body: dict[str, Any]) -> Any:
        """Record a consent; or a decline, which keeps nothing and answers how to use the helpline.

        The family hears the privacy statement first: `statement_version` says which. A consent to `casework` opens the
        shell, about a second later. `party` is an organisation's or a person's id. A purpose that the same person has
        given before is superseded.
        """
        if body["decision"] == "declined":
            return _declined(context, body["case_id"])
        require_room()
        case_id = body["case_id"]
        context.require_known(case_id)
        return actions.give_consent(
            stores, consent_of(body, case_id=case_id), others_about(context, case_id), now=utc_now()
        )

    @blp.route("/consents")
    @allow(*CONSENT_READERS)
    @blp.arguments(ConsentsQuery, location="query")
    @blp.response(200, ConsentPage)
    def list_consents(query: dict[str, Any]) -> Any:
        """The consents of a case, withdrawn ones too, each with what still stands of it."""
        case_id = query["case_id"]
        context.require_known(case_id)
        return ok(page(query, partial(stores.consents.page, {"case_id": case_id}), _showing(stores, case_id)))

    @blp.route("/consents/<consent_id>")
    @allow(*CONSENT_READERS)
    @blp.response(200, ShownConsent)
    def get_consent(consent_id: str) -> Any:
        """One consent, with what still stands of it and its history.

        `standing` is what may be relied on today. `history` says how the rest ended.
        """
        given = found(consent_id)
        return ok(_showing(stores, given.case_id)(given), etag=1)

    @blp.route("/consents/<consent_id>/receipt")
    @allow(*CONSENT_READERS)
    @blp.response(200, content_type="application/jose")
    @blp.alternative(200, {"type": "object"}, content_type="application/json")
    def get_receipt(consent_id: str) -> Any:
        """The receipt, as a compact JWS; as JSON where that is preferred. docs/consents.md says what is in it."""
        said = consent_receipt(stores, found(consent_id), office=context.office, now=utc_now())
        if request.accept_mimetypes.best_match([_JOSE, _JSON], default=_JOSE) == _JSON:
            return ok(said)
        return Response(context.consent_receipt_signer.sign(said, typ=CONSENT_RECEIPT_TYPE), content_type=_JOSE)

    @blp.route("/consents/<consent_id>/withdrawal", methods=["POST"])
    @allow(*CASEWORK, inward=Inward.NO)
    @blp.arguments(WithdrawalIn)
    @blp.response(201, WithdrawalOut)
    @idempotent(_withdrawal_made)
    def withdraw_consent(body: dict[str, Any], consent_id: str) -> Any:
        """End a consent, or some of its purposes; the last one to the file asks for an erasure (`request_id`).

        Without `purposes` all of them end. It takes effect at once, also while the case is frozen.
        """
        purposes = body.get("purposes")
        return actions.withdraw(
            context,
            id=new_id(),
            request_id=new_id(),
            consent_id=consent_id,
            channel=body["channel"],
            by=body["by"],
            grants=None if purposes is None else from_plain(purposes, tuple[Grant, ...]),
            recorded_by=current_caller().sub,
            now=utc_now(),
        )

    @blp.route("/decisions")
    @allow(*CONSENT_READERS, services=("case", "document", "notifier"))
    @blp.arguments(DecisionQuery, location="query")
    @blp.response(200, DecisionOut)
    def read_decision(query: dict[str, Any]) -> Any:
        """Whether something may be done, as of now.

        `reason` is a fixed word. Ask at the moment of acting: a consent may end at any time.
        """
        context.require_known(query["case_id"])
        decision = actions.decision(
            stores,
            case_id=query["case_id"],
            asked=from_plain(query, Grant),
            person_id=query.get("person_id"),
            now=utc_now(),
        )
        shown = DecisionOut().dump(decision)
        return ok({name: value for name, value in shown.items() if value is not None})

    def found(consent_id: str) -> Consent:
        """A consent whose case isn't being erased. Raises NotFound or Erased."""
        given = stores.consents.get(consent_id)
        if given is None:
            raise NotFound(actions.NO_CONSENT)
        audit_case(given.case_id)
        context.require_known(given.case_id)
        return given

    return blp


def consent_of(body: dict[str, Any], *, case_id: str, field: str = "statement_version") -> Consent:
    """The consent that a body tells of. Raises Invalid, naming the field, for a statement that was never shown."""
    statement = text_of(body["statement_version"])
    if statement is None:
        said = {field: ["There is no such version of the statement."]}
        raise Invalid("The consent can't be recorded as it stands. Nothing was stored.", errors=said)
    until = body.get("until")
    return Consent(
        id=new_id(),
        case_id=case_id,
        **flat(body["given_by"]),
        channel=body["channel"],
        informed_at=body["informed_at"],
        given_at=body["given_at"],
        statement_version=int(body["statement_version"]),
        statement_sha256=statement.sha256,
        grants=tuple(grant.until_at_most(until) for grant in from_plain(body["purposes"], tuple[Grant, ...])),
        evidence=body.get("evidence"),
        recorded_at=utc_now(),
        recorded_by=current_caller().sub,
        until=until,
    )


def _declined(context: Context, case_id: str) -> JsonResponse:
    """P8: the shell ends as it would have by itself, and nothing says that the family declined."""
    leave_no_trace()
    forget_answer()
    if context.stores.unit_of_work.gates.state(case_id) == CLOSED:
        raise Erased(ERASED_SENTENCE)
    # A conflict: others have agreed to this file. It stays, and of this answer nothing is kept either.
    with suppress(Conflict):
        grant = grant_ending(context, case_id=case_id)
        context.calls.post("case", f"/cases/{case_id}/ending", {"grant": grant})
    return ok({"helpline": context.office.helpline})


def _showing(stores: Stores, case_id: str) -> Callable[[Consent], dict[str, Any]]:
    """How a consent of that case is shown now; what it needs is read once for all of them."""
    today, endings = london_day(utc_now()), stores.endings.of_case(case_id)
    standing = queries.standing(stores, case_id, today)

    def show(given: Consent) -> dict[str, Any]:
        left = [s.grant for s in standing if s.consent_id == given.id]
        shown: dict[str, Any] = ShownConsent().dump(given)
        extra = {"standing": left, "history": history(given, endings, today=today), "etag": '"1"'}
        return shown | dict(ShownConsent(only=tuple(extra)).dump(extra))

    return show


def _consent_made(given: Consent) -> JsonResponse:
    shown: dict[str, Any] = ConsentOut().dump(given)
    return created(shown, location=f"/v1/consents/{given.id}", etag=1, case_id=given.case_id)


def _withdrawal_made(made: actions.Withdrawn) -> JsonResponse:
    shown: dict[str, Any] = WithdrawalOut().dump(made)
    ending = made.ending
    return created(shown, location=f"/v1/consents/{ending.consent_id}", etag=1, case_id=ending.case_id)
