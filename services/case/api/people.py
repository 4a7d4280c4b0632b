"""The people of a case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response

from services.case import schemas
from services.case.actions import people as actions
from services.case.actions.access import read_one, read_page
from services.case.context import Context
from services.case.model.people import Person
from shared.clock import utc_now
from shared.http import (
    Blueprint,
    Inward,
    JsonResponse,
    PageArgs,
    allow,
    check_if_match,
    created,
    forgetting_answers,
    idempotent,
    ok,
    page,
)
from shared.security.roles import CASE_READERS, CASEWORK, CASEWORK_IN_PERSON

_SHOW = schemas.PersonOut()


def people_routes(context: Context) -> Blueprint:
    stores, mail_takes_utf8 = context.stores, context.mail_takes_utf8
    blp = Blueprint("people", description="Who a case is about, once the family has agreed to it.")

    @blp.route("/cases/<case_id>/people", methods=["POST"])
    @allow(*CASEWORK, inward=Inward.YES)
    @blp.arguments(schemas.PersonIn)
    @blp.response(201, schemas.PersonOut)
    @idempotent(_made)
    def add_person(body: Mapping[str, Any], case_id: str) -> Person:
        """Add a person; 409 consent-required before consent."""
        return actions.add_person(stores, case_id=case_id, given=body, mail_takes_utf8=mail_takes_utf8, now=utc_now())

    @blp.route("/cases/<case_id>/people")
    @allow(*CASE_READERS)
    @blp.arguments(PageArgs, location="query")
    @blp.response(200, schemas.PeoplePage)
    def list_people(query: Mapping[str, Any], case_id: str) -> Response:
        """In the order they were added."""
        now = utc_now()
        found = page(
            query,
            lambda after, limit: read_page(stores, stores.people, case_id=case_id, after=after, limit=limit, now=now),
            _shown,
        )
        return ok(found).response()

    @blp.route("/cases/<case_id>/people/<person_id>")
    @allow(*CASE_READERS)
    @blp.response(200, schemas.PersonOut)
    def read_person(case_id: str, person_id: str) -> Response:
        """One person."""
        unknown, now = actions.UNKNOWN_SENTENCE, utc_now()
        person = read_one(stores, stores.people, case_id=case_id, id=person_id, otherwise=unknown, now=now)
        return ok(_shown(person), etag=person.version).response()

    @blp.route("/cases/<case_id>/people/<person_id>", methods=["PATCH"])
    @allow(*CASEWORK, inward=Inward.YES)
    @blp.arguments(schemas.PersonPatch)
    @blp.response(200, schemas.PersonOut)
    def change_person(body: Mapping[str, Any], case_id: str, person_id: str) -> Response:
        """Change what is sent, and no more."""
        person = actions.change_person(
            stores,
            case_id=case_id,
            person_id=person_id,
            given=body,
            mail_takes_utf8=mail_takes_utf8,
            if_match=check_if_match,
            now=utc_now(),
        )
        return ok(_shown(person), etag=person.version).response()

    @blp.route("/cases/<case_id>/people/<person_id>", methods=["DELETE"])
    @allow(*CASEWORK_IN_PERSON, inward=Inward.NO)
    @blp.response(204)
    def remove_person(case_id: str, person_id: str) -> Response:
        """Forget one person of the case."""
        with forgetting_answers(case_id=case_id, record=person_id):
            actions.remove_person(stores, case_id=case_id, person_id=person_id, if_match=check_if_match, now=utc_now())
        return Response(status=204)

    return blp


def _shown(person: Person) -> dict[str, Any]:
    return dict(_SHOW.dump(person))


def _made(person: Person) -> JsonResponse:
    location = f"/v1/cases/{person.case_id}/people/{person.id}"
    return created(_shown(person), location=location, etag=person.version, case_id=person.case_id)
