"""How each person of a case may be reached, and stopping all contact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response

from services.case import schemas
from services.case.actions import safe_contact as actions
from services.case.actions.access import read_one
from services.case.actions.people import UNKNOWN_SENTENCE
from services.case.model.people import Person
from services.case.store import Stores
from shared.clock import utc_now
from shared.http import Blueprint, Inward, allow, check_if_match, current_caller, ok
from shared.security.roles import CASE_READERS, CASEWORK, MANAGER

_SAFE = schemas.SafeContactOut()
_STOP = schemas.StopOut()


def safe_contact_routes(stores: Stores) -> Blueprint:
    blp = Blueprint("safe_contact", description="How a person may be reached without harm; also while frozen.")

    @blp.route("/cases/<case_id>/people/<person_id>/safe-contact")
    @allow(*CASE_READERS)
    @blp.response(200, schemas.SafeContactOut)
    def read_safe_contact(case_id: str, person_id: str) -> Response:
        """What this person said of each way; null where they weren't asked."""
        now = utc_now()
        return _answer(
            read_one(stores, stores.people, case_id=case_id, id=person_id, otherwise=UNKNOWN_SENTENCE, now=now)
        )

    @blp.route("/cases/<case_id>/people/<person_id>/safe-contact", methods=["PUT"])
    @allow(*CASEWORK, inward=Inward.NO)
    @blp.arguments(schemas.SafeContactIn)
    @blp.response(200, schemas.SafeContactOut)
    def set_safe_contact(body: Mapping[str, Any], case_id: str, person_id: str) -> Response:
        """Keep what they say now, the whole of it; the ETag is the person's."""
        changed = actions.set_safe_contact(
            stores,
            case_id=case_id,
            person_id=person_id,
            given=body,
            if_match=check_if_match,
            now=utc_now(),
        )
        return _answer(changed)

    @blp.route("/cases/<case_id>/stop-all")
    @allow(*CASE_READERS)
    @blp.response(200, schemas.StopOut)
    def read_stop(case_id: str) -> Response:
        """Why all contact has stopped; 404 when it hasn't."""
        return ok(_STOP.dump(actions.read_stop(stores, case_id=case_id, now=utc_now()))).response()

    @blp.route("/cases/<case_id>/stop-all", methods=["PUT"])
    @allow(*CASEWORK, inward=Inward.NO)
    @blp.arguments(schemas.StopIn)
    @blp.response(200, schemas.StopOut)
    def stop_all(body: Mapping[str, Any], case_id: str) -> Response:
        """Stop all contact: after a death, an adoption, a court order."""
        stop = actions.stop_all(
            stores,
            case_id=case_id,
            reason=body["reason"],
            words=body["words"],
            by=current_caller().sub,
            now=utc_now(),
        )
        return ok(_STOP.dump(stop)).response()

    @blp.route("/cases/<case_id>/stop-all", methods=["DELETE"])
    @allow(MANAGER, inward=Inward.NO)
    @blp.response(204)
    def lift_stop(case_id: str) -> Response:
        """Contact may go on."""
        actions.lift_stop(stores, case_id=case_id, now=utc_now())
        return Response(status=204)

    return blp


def _answer(person: Person) -> Response:
    return ok(_SAFE.dump(person.safe_contact), etag=person.version).response()
