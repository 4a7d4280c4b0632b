"""An intake: six calls in one, while the family waits on the phone."""

from __future__ import annotations

from typing import Any

from pymongo.errors import PyMongoError

from services.consent.actions import intake as actions
from services.consent.api.consents import consent_of
from services.consent.context import Context
from services.consent.model.intakes import Intake, TakenIn
from services.consent.schemas.intake import IntakeIn, IntakeOut
from shared.clock import utc_now
from shared.errors import Invalid, Problem
from shared.http import (
    Blueprint,
    Inward,
    JsonResponse,
    allow,
    created,
    id_of_act,
    idempotent,
    json_body,
)
from shared.ids import new_id
from shared.ops.logs import log, where
from shared.security.roles import CASEWORK


def intake_routes(context: Context) -> Blueprint:
    blp = Blueprint("intake", description="A case, the consent to it, its people and first wishes, as one act")

    @blp.route("/intake", methods=["POST"])
    @allow(*CASEWORK, inward=Inward.YES)
    @blp.arguments(IntakeIn)
    @blp.response(201, IntakeOut)
    @idempotent(_made, claims_first=True)
    def take_in(body: dict[str, Any]) -> TakenIn:
        """Make shell, consent, people and first wishes; or nothing, when one of them is wrong.

        `consent.given_by.person` counts `people` from 0, since no person has an id yet. The case is open once the case
        service has heard of the consent, about a second later.
        """
        intake = _intake(body)
        taken = actions.take_in(context, intake, now=utc_now())
        try:
            actions.deliver(context, case_id=intake.case_id)
        except (Problem, PyMongoError) as error:
            # It is made: the worker goes on handing it over.
            log.warning("intake.not_delivered_yet", **where(error))
        return taken

    return blp


def _intake(body: dict[str, Any]) -> Intake:
    """What a body tells of. Raises Invalid for a statement that was never shown, or a person who isn't there."""
    sent = json_body()
    # People and wishes go on as they were sent: their own service reads them.
    people = [{"id": new_id(), **one} for one in sent["people"]]
    given_by = _given_by(body["consent"]["given_by"], [one["id"] for one in people])
    given = consent_of(
        {**body["consent"], "given_by": given_by}, case_id=id_of_act(), field="consent.statement_version"
    )
    wishes = [{"id": new_id(), **one} for one in sent.get("wishes", [])]
    return Intake(given=given, channel=body["case"]["channel"], people=people, wishes=wishes)


def _given_by(said: dict[str, Any], person_ids: list[str]) -> dict[str, Any]:
    """As `POST /consents` says it: by the id that a person will have, where they were counted among the people."""
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
