"""Organisations, consents, their withdrawal, decisions."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from services.consent.actions import consents as actions
from services.consent.model.consents import Consent, Withdrawal
from services.consent.schemas import (
    ConsentIn,
    ConsentOut,
    ConsentPage,
    ConsentsQuery,
    DecisionOut,
    DecisionQuery,
    OrganisationIn,
    OrganisationOut,
    OrganisationPage,
    WithdrawalIn,
    WithdrawalOut,
)
from services.consent.statements import text_of
from services.consent.store import Stores
from services.consent.store.records import consent, grants_in
from shared.clock import utc_now
from shared.errors import Conflict, Erased, Invalid, NotFound
from shared.gates import CLOSED, ERASED_SENTENCE
from shared.http import (
    Answer,
    Blueprint,
    Inward,
    PageArgs,
    allow,
    audit_case,
    audit_no_case,
    created,
    current_caller,
    etag_of,
    forget_answer,
    making,
    ok,
    page,
    require_room,
)
from shared.ids import new_id
from shared.service import Kit

_CASEWORK = ("caseworker", "manager", "app")
_MAY_READ = (*_CASEWORK, "data_protection", "safeguarding_lead")


def consent_routes(kit: Kit, stores: Stores) -> Blueprint:
    blp = Blueprint("consents", description="Consents, asked with the words of the statement, and what they allow")

    @blp.route("/organisations", methods=["POST"])
    @allow(*_CASEWORK, inward=Inward.YES)
    @blp.arguments(OrganisationIn)
    @blp.response(201, OrganisationOut)
    @making(_organisation_made, office=True)
    def add_organisation(body: dict[str, Any]) -> Any:
        """Enter an organisation; its id is a `party`."""
        return actions.add_organisation(stores, id=new_id(), name=body["name"], kind=body["kind"])

    @blp.route("/organisations")
    @allow(*_MAY_READ, services=("notifier", "document", "case"))
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
    @allow(*_MAY_READ, services=("notifier", "document", "case"))
    @blp.response(200, OrganisationOut)
    def get_organisation(organisation_id: str) -> Any:
        """One organisation."""
        record = stores.organisations.get(organisation_id)
        if record is None:
            raise NotFound("There is no such organisation here.")
        shown = OrganisationOut().dump({"id": record.id, **record.clear, **record.personal})
        return ok(shown, etag=record.version).response()

    @blp.route("/consents", methods=["POST"])
    @allow(*_CASEWORK, inward=Inward.BY_BODY)
    @blp.arguments(ConsentIn)
    @blp.response(201, ConsentOut)
    @making(_consent_made)
    def give_consent(body: dict[str, Any]) -> Any:
        """Record a consent; or a decline, which keeps nothing and answers how to use the helpline."""
        if body["decision"] == "declined":
            return _declined(kit, body["case_id"])
        require_room()
        if text_of(body["statement_version"]) is None:
            said = {"statement_version": ["There is no such version of the statement."]}
            raise Invalid("The consent can't be recorded as it stands. Nothing was stored.", errors=said)
        case_id = body["case_id"]
        kit.known(case_id)
        return actions.give_consent(
            stores,
            id=new_id(),
            case_id=case_id,
            given_by=body["given_by"],
            channel=body["channel"],
            informed_at=body["informed_at"],
            given_at=body["given_at"],
            statement_version=body["statement_version"],
            grants=grants_in(body["purposes"]),
            evidence=body.get("evidence"),
            recorded_by=current_caller().sub,
            is_person=lambda person_id: _is_person(kit, stores, case_id, person_id),
            now=utc_now(),
        )

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

        return ok(page(query, find, lambda given: _shown(stores, given))).response()

    @blp.route("/consents/<consent_id>")
    @allow(*_MAY_READ)
    @blp.response(200, ConsentOut)
    def get_consent(consent_id: str) -> Any:
        """One consent."""
        record = stores.consents.get(consent_id)
        if record is None:
            raise NotFound("There is no such consent here.")
        audit_case(str(record.case_id))
        return ok(_shown(stores, consent(record)), etag=record.version).response()

    @blp.route("/consents/<consent_id>/withdrawal", methods=["POST"])
    @allow(*_CASEWORK, inward=Inward.NO)
    @blp.arguments(WithdrawalIn)
    @blp.response(201, WithdrawalOut)
    @making(_withdrawal_made)
    def withdraw(body: dict[str, Any], consent_id: str) -> Any:
        """End a consent, or some of its purposes."""
        purposes = body.get("purposes")
        return actions.withdraw(
            stores,
            id=new_id(),
            consent_id=consent_id,
            channel=body["channel"],
            by=body["by"],
            grants=None if purposes is None else grants_in(purposes),
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
            stores, case_id=query["case_id"], asked=grants_in([query])[0], person_id=query.get("person_id")
        )
        shown = DecisionOut().dump(decision)
        return ok({name: value for name, value in shown.items() if value is not None}).response()

    return blp


def _declined(kit: Kit, case_id: str) -> Answer:
    """P8: the shell ends as it would have by itself, and nothing says that somebody declined."""
    audit_no_case()
    forget_answer()
    if kit.work.gates.state(case_id) == CLOSED:
        raise Erased(ERASED_SENTENCE)
    # A conflict: others have agreed to this file. It stays, and of this answer nothing is kept either.
    with suppress(Conflict):
        kit.calls.post("case", f"/cases/{case_id}/ending", {})
    return ok({"helpline": kit.settings.office.helpline})


def _is_person(kit: Kit, stores: Stores, case_id: str, person_id: str) -> bool:
    """As last heard; asked of the case service where this one hasn't heard of the person yet."""
    if any(person["person"] == person_id for person in stores.people_of(case_id)):
        return True
    people = kit.calls.get("case", f"/cases/{case_id}").get("people", [])
    return any(person["id"] == person_id for person in people)


def _shown(stores: Stores, given: Consent) -> dict[str, Any]:
    shown: dict[str, Any] = ConsentOut().dump(given)
    standing = [s.grant for s in stores.standing(given.case_id) if s.consent_id == given.id]
    shown["statement_sha256"] = getattr(text_of(given.statement_version), "sha256", None)
    shown["standing"] = [{"purpose": g.purpose, "party": g.party, "document_kind": g.document_kind} for g in standing]
    shown["etag"] = etag_of(1)
    return shown


def _organisation_made(made: Any) -> Answer:
    return created(OrganisationOut().dump(made), location=f"/v1/organisations/{made['id']}", etag=1)


def _consent_made(given: Consent) -> Answer:
    shown: dict[str, Any] = ConsentOut().dump(given)
    return created(shown, location=f"/v1/consents/{given.id}", etag=1, case_id=given.case_id)


def _withdrawal_made(end: Withdrawal) -> Answer:
    shown: dict[str, Any] = WithdrawalOut().dump(end)
    return created(shown, location=f"/v1/consents/{end.consent_id}", etag=1, case_id=end.case_id)
