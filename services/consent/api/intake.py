"""An intake: six calls in one, while somebody waits on the phone."""

from __future__ import annotations

from typing import Any

from pymongo.errors import PyMongoError

from services.consent.actions import intake as actions
from services.consent.api.consents import statement_shown
from services.consent.model.consents import Consent
from services.consent.model.intakes import Intake, TakenIn
from services.consent.schemas.intake import IntakeIn, IntakeOut
from services.consent.store import Stores
from services.consent.store.records import grants_in
from shared.clock import utc_now
from shared.errors import Invalid, Problem
from shared.http import (
    Blueprint,
    Inward,
    JsonResponse,
    allow,
    created,
    current_caller,
    id_of_act,
    idempotent,
    json_body,
)
from shared.ids import new_id
from shared.ops.logs import log, where
from shared.service.service import Kit

_CASEWORK = ("caseworker", "manager", "app")


def intake_routes(kit: Kit, stores: Stores) -> Blueprint:
    blp = Blueprint("intake", description="A case, the consent to it, its people and first wishes, as one act")

    @blp.route("/intake", methods=["POST"])
    @allow(*_CASEWORK, inward=Inward.YES)
    @blp.arguments(IntakeIn)
    @blp.response(201, IntakeOut)
    @idempotent(_made)
    def take_in(body: dict[str, Any]) -> TakenIn:
        """Make shell, consent, people and first wishes; or, whatever is wrong with any of them, nothing."""
        intake = _intake(body)
        taken = actions.take_in(stores, kit.calls, intake, now=utc_now())
        try:
            actions.deliver(stores, kit.calls, case_id=intake.case_id)
        except (Problem, PyMongoError) as error:
            # It is made: the worker goes on handing it over.
            log.warning("intake.not_delivered_yet", **where(error))
        return taken

    return blp


def _intake(body: dict[str, Any]) -> Intake:
    """What a body tells of. Raises Invalid for a version of the statement that nobody was shown, or for nobody."""
    said, sent = body["consent"], json_body()
    # People and wishes go on as they were sent: their own service reads them.
    people = [{"id": new_id(), **one} for one in sent["people"]]
    statement = statement_shown(said["statement_version"], field="consent.statement_version")
    until, at = said.get("until"), utc_now()
    given = Consent(
        id=new_id(),
        case_id=id_of_act(),
        given_by=_given_by(said["given_by"], [one["id"] for one in people]),
        channel=said["channel"],
        informed_at=said["informed_at"],
        given_at=said["given_at"],
        statement_version=said["statement_version"],
        statement_sha256=statement.sha256,
        grants=tuple(grant.until_at_most(until) for grant in grants_in(said["purposes"])),
        evidence=None,
        recorded_at=at,
        recorded_by=current_caller().sub,
        until=until,
    )
    wishes = [{"id": new_id(), **one} for one in sent.get("wishes", [])]
    return Intake(given=given, channel=body["case"]["channel"], people=people, wishes=wishes)


def _given_by(said: dict[str, Any], person_ids: list[str]) -> dict[str, Any]:
    """As a consent keeps it: by the id that somebody will have, where they were counted among the people."""
    given_by = {name: value for name, value in said.items() if name not in ("person", "for_person")}
    for name in ("person", "for_person"):
        if (number := said.get(name)) is None:
            continue
        if number >= len(person_ids):
            wrong = {f"consent.given_by.{name}": ["There are not so many people in this intake."]}
            raise Invalid("The intake can't be taken in as it stands. Nothing was stored.", errors=wrong)
        given_by[f"{name}_id"] = person_ids[number]
    return given_by


def _made(taken: TakenIn) -> JsonResponse:
    case_id = taken.given.case_id
    shown: dict[str, Any] = IntakeOut().dump(taken)
    return created(shown, location=f"/v1/cases/{case_id}", etag=taken.etag, case_id=case_id)
