"""Consents, their withdrawal and their receipts, decisions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from flask import Response, request

from services.consent.actions import consents as actions
from services.consent.actions.consent_receipts import receipt_of
from services.consent.model.consent_receipts import RECEIPT_TYPE
from services.consent.model.consents import Consent
from services.consent.model.histories import history
from services.consent.schemas import (
    ConsentIn,
    ConsentOut,
    ConsentPage,
    ConsentsQuery,
    DecisionOut,
    DecisionQuery,
    ShownConsent,
    WithdrawalIn,
    WithdrawalOut,
)
from services.consent.statements import Statement, text_of
from services.consent.store import Stores
from services.consent.store.records import consent, grants_in
from shared.clock import utc_now
from shared.db import Record
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
    etag_of,
    forget_answer,
    idempotent,
    leave_no_trace,
    ok,
    page,
    require_room,
)
from shared.ids import new_id
from shared.security.signing import Signer
from shared.service.service import Kit
from shared.uk.working_days import london_day

_JOSE, _JSON = "application/jose", "application/json"
_CASEWORK = ("caseworker", "manager", "app")
_MAY_READ = (*_CASEWORK, "data_protection", "safeguarding_lead")


def consent_routes(kit: Kit, stores: Stores, signer: Signer) -> Blueprint:
    asking = Asking(kit, stores)
    blp = Blueprint("consents", description="Consents, asked with the words of the statement, and what they allow")

    @blp.route("/consents", methods=["POST"])
    @allow(*_CASEWORK, inward=Inward.BY_BODY)
    @blp.arguments(ConsentIn)
    @blp.response(201, ConsentOut)
    @idempotent(_consent_made)
    def give_consent(body: dict[str, Any]) -> Any:
        """Record a consent; or a decline, which keeps nothing and answers how to use the helpline."""
        if body["decision"] == "declined":
            return _declined(kit, body["case_id"])
        require_room()
        kit.known(body["case_id"])
        return actions.give_consent(stores, _given(body), asking.about(body["case_id"]), now=utc_now())

    @blp.route("/consents")
    @allow(*_MAY_READ)
    @blp.arguments(ConsentsQuery, location="query")
    @blp.response(200, ConsentPage)
    def list_consents(query: dict[str, Any]) -> Any:
        """The consents of a case, withdrawn ones too, each with what still stands of it."""
        case_id = query["case_id"]
        kit.known(case_id)

        def find(after: str | None, limit: int) -> list[Consent]:
            return [consent(r) for r in stores.consents.find({"case_id": case_id}, after=after, limit=limit)]

        show = _showing(stores, case_id)
        return ok(page(query, find, show)).response()

    @blp.route("/consents/<consent_id>")
    @allow(*_MAY_READ)
    @blp.response(200, ShownConsent)
    def get_consent(consent_id: str) -> Any:
        """One consent, with what still stands of it and its history."""
        record = living(consent_id)
        return ok(_showing(stores, str(record.case_id))(consent(record)), etag=record.version).response()

    @blp.route("/consents/<consent_id>/receipt")
    @allow(*_MAY_READ)
    @blp.response(200, content_type="application/jose")
    def get_receipt(consent_id: str) -> Any:
        """The receipt, as a compact JWS; as JSON where that is preferred. docs/consents.md says what is in it."""
        given = consent(living(consent_id))
        said = receipt_of(stores, given, office=kit.settings.office, now=utc_now())
        if request.accept_mimetypes.best_match([_JOSE, _JSON], default=_JOSE) == _JSON:
            return ok(said).response()
        return Response(signer.sign(said, typ=RECEIPT_TYPE), content_type=_JOSE)

    @blp.route("/consents/<consent_id>/withdrawal", methods=["POST"])
    @allow(*_CASEWORK, inward=Inward.NO)
    @blp.arguments(WithdrawalIn)
    @blp.response(201, WithdrawalOut)
    @idempotent(_withdrawal_made)
    def withdraw(body: dict[str, Any], consent_id: str) -> Any:
        """End a consent, or some of its purposes; the last one to the file asks for an erasure (`request_id`)."""
        purposes = body.get("purposes")
        return actions.withdraw(
            stores,
            id=new_id(),
            request_id=new_id(),
            consent_id=consent_id,
            channel=body["channel"],
            by=body["by"],
            grants=None if purposes is None else grants_in(purposes),
            recorded_by=current_caller().sub,
            elsewhere=kit.settings.elsewhere,
            now=utc_now(),
        )

    @blp.route("/decisions")
    @allow(*_MAY_READ, services=("case", "document", "notifier"))
    @blp.arguments(DecisionQuery, location="query")
    @blp.response(200, DecisionOut)
    def decide(query: dict[str, Any]) -> Any:
        """Whether something may be done, as of now."""
        kit.known(query["case_id"])
        decision = actions.decision(
            stores,
            case_id=query["case_id"],
            asked=grants_in([query])[0],
            person_id=query.get("person_id"),
            now=utc_now(),
        )
        shown = DecisionOut().dump(decision)
        return ok({name: value for name, value in shown.items() if value is not None}).response()

    def living(consent_id: str) -> Record:
        """The record of a consent whose case isn't being erased. Raises NotFound or Erased."""
        record = stores.consents.get(consent_id)
        if record is None:
            raise NotFound("There is no such consent here.")
        audit_case(str(record.case_id))
        kit.known(str(record.case_id))
        return record

    return blp


def _given(body: dict[str, Any]) -> Consent:
    """The consent that a body tells of. Raises Invalid for a version of the statement that nobody was shown."""
    statement, until = statement_shown(body["statement_version"]), body.get("until")
    return Consent(
        id=new_id(),
        case_id=body["case_id"],
        given_by=body["given_by"],
        channel=body["channel"],
        informed_at=body["informed_at"],
        given_at=body["given_at"],
        statement_version=body["statement_version"],
        statement_sha256=statement.sha256,
        grants=tuple(grant.until_at_most(until) for grant in grants_in(body["purposes"])),
        evidence=body.get("evidence"),
        recorded_at=utc_now(),
        recorded_by=current_caller().sub,
        until=until,
    )


def statement_shown(version: str, *, field: str = "statement_version") -> Statement:
    """The statement of that version. Raises Invalid, naming the field, for one that nobody was shown."""
    statement = text_of(version)
    if statement is None:
        said = {field: ["There is no such version of the statement."]}
        raise Invalid("The consent can't be recorded as it stands. Nothing was stored.", errors=said)
    return statement


def _declined(kit: Kit, case_id: str) -> JsonResponse:
    """P8: the shell ends as it would have by itself, and nothing says that somebody declined."""
    leave_no_trace()
    forget_answer()
    if kit.unit_of_work.gates.state(case_id) == CLOSED:
        raise Erased(ERASED_SENTENCE)
    # A conflict: others have agreed to this file. It stays, and of this answer nothing is kept either.
    with suppress(Conflict):
        kit.calls.post("case", f"/cases/{case_id}/ending", {})
    return ok({"helpline": kit.settings.office.helpline})


@dataclass(frozen=True, slots=True)
class Asking:
    """What of a case is asked of the services that own it, at that moment."""

    kit: Kit
    stores: Stores

    def about(self, case_id: str) -> actions.Outside:
        return actions.Outside(
            role_of=lambda person_id: self._role_of(case_id, person_id),
            has_document=lambda document_id: self._has_document(case_id, document_id),
        )

    def _role_of(self, case_id: str, person_id: str) -> str | None:
        """As last heard; asked of the case service where this one hasn't heard of the person yet."""
        for person in self.stores.people_of(case_id):
            if person["person"] == person_id:
                return str(person["role"])
        people = self.kit.calls.get("case", f"/cases/{case_id}").get("people", [])
        return next((str(person["role"]) for person in people if person["id"] == person_id), None)

    def _has_document(self, case_id: str, document_id: str) -> bool:
        try:
            return self.kit.calls.get("document", f"/documents/{document_id}").get("case_id") == case_id
        except NotFound:
            return False


def _showing(stores: Stores, case_id: str) -> Callable[[Consent], dict[str, Any]]:
    """How a consent of that case is shown now; what it needs is read once for all of them."""
    today, endings = london_day(utc_now()), stores.endings_of(case_id)
    standing = stores.standing(case_id, today)

    def show(given: Consent) -> dict[str, Any]:
        left = [s.grant for s in standing if s.consent_id == given.id]
        shown: dict[str, Any] = ShownConsent().dump(given)
        extra = {"standing": left, "history": history(given, endings, today=today), "etag": etag_of(1)}
        return shown | dict(ShownConsent(only=tuple(extra)).dump(extra))

    return show


def _consent_made(given: Consent) -> JsonResponse:
    shown: dict[str, Any] = ConsentOut().dump(given)
    return created(shown, location=f"/v1/consents/{given.id}", etag=1, case_id=given.case_id)


def _withdrawal_made(made: actions.Withdrawn) -> JsonResponse:
    shown: dict[str, Any] = WithdrawalOut().dump(made)
    end = made.ending
    return created(shown, location=f"/v1/consents/{end.consent_id}", etag=1, case_id=end.case_id)
