"""Safeguarding records: made by any staff, seen and reviewed by the lead (P15)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import wraps
from typing import Any

from flask import Response
from pymongo.errors import PyMongoError

from services.case.actions import safeguarding as actions
from services.case.model.disclosures import SAFEGUARDING, check_fields
from services.case.model.safeguarding import Concern, key_of
from services.case.schemas import disclosures as schemas
from services.case.store import Stores
from shared.clock import utc_now
from shared.errors import Unavailable
from shared.http import (
    Anew,
    Blueprint,
    Inward,
    JsonResponse,
    allow,
    audit_as_safeguarding,
    check_if_match,
    created,
    current_caller,
    idempotent,
    json_body,
    ok,
    page,
)
from shared.ops.logs import log, where
from shared.security.roles import SAFEGUARDING_LEAD, SAFEGUARDING_READERS, SAFEGUARDING_STAFF

_SHOW = schemas.ConcernOut()
_SHOW_MADE = schemas.ConcernMade()
_SHOW_REVIEW = schemas.ReviewMade()
_NOT_RECORDED = (
    "The database is away, so this is not recorded yet. Don't wait: tell the people who must know now, by phone, and "
    "the safeguarding lead. Write down whom you told, when and why, and send this again."
)


def safeguarding_routes(stores: Stores) -> Blueprint:
    blp = Blueprint("safeguarding", description="What is disclosed, or not, because a person is at risk.")

    @blp.route("/disclosures", methods=["POST"])
    @allow(*SAFEGUARDING_STAFF, audit_late=True, audit_apart=True, inward=Inward.NO)
    @blp.arguments(schemas.NewConcernAnywhere)
    @blp.response(201, schemas.ConcernMade)
    @idempotent(concern_made, anew=concern_anew(stores))
    def record_concern(body: Mapping[str, Any]) -> Concern:
        """Record a safeguarding disclosure with no case, or for one that is gone; never refused to staff."""
        check_fields(body)
        return recorded(stores, about=body.get("case_id"), given=body, by=current_caller().sub, now=utc_now())

    @blp.route("/disclosures")
    @allow(*SAFEGUARDING_READERS, audit_apart=True)
    @blp.arguments(schemas.ConcernQuery, location="query")
    @blp.response(200, schemas.ConcernPage)
    def list_concerns(query: Mapping[str, Any]) -> Response:
        """Oldest first; `state=open` are those that wait for a review."""
        found = page(
            query,
            lambda after, limit: actions.list_concerns(
                stores, state=query["state"], about=query["case_id"], after=after, limit=limit
            ),
            concern_shown,
        )
        return ok(found).response()

    @blp.route("/disclosures/<disclosure_id>")
    @allow(*SAFEGUARDING_READERS, audit_apart=True)
    @blp.response(200, schemas.ConcernOut)
    def read_concern(disclosure_id: str) -> Response:
        """One record."""
        return _answer(actions.read_concern(stores, id=disclosure_id))

    @blp.route("/disclosures/<disclosure_id>/review", methods=["POST"])
    @allow(SAFEGUARDING_LEAD, audit_apart=True, inward=Inward.NO)
    @blp.arguments(schemas.Review)
    @blp.response(201, schemas.ReviewMade)
    @idempotent(_reviewed, anew=concern_anew(stores))
    def review_disclosure(body: Mapping[str, Any], disclosure_id: str) -> Concern:
        """What a second person thinks of it; 403 for the caller who recorded it."""
        return actions.review(stores, id=disclosure_id, **body, by=current_caller().sub, now=utc_now())

    @blp.route("/disclosures/<disclosure_id>/hold", methods=["PUT"])
    @allow(*SAFEGUARDING_READERS, audit_apart=True, inward=Inward.NO)
    @blp.arguments(schemas.NewHold)
    @blp.response(200, schemas.ConcernOut)
    def hold_disclosure(body: Mapping[str, Any], disclosure_id: str) -> Response:
        """Keep it at least until that day, inclusive, past its retention if need be."""
        held = actions.hold(stores, id=disclosure_id, **body, if_match=check_if_match, now=utc_now())
        return _answer(held)

    @blp.route("/disclosures/<disclosure_id>/hold", methods=["DELETE"])
    @allow(*SAFEGUARDING_READERS, audit_apart=True, inward=Inward.NO)
    @blp.response(204)
    def lift_disclosure_hold(disclosure_id: str) -> Response:
        """Let its retention run again."""
        actions.lift_hold(stores, id=disclosure_id, if_match=check_if_match)
        return Response(status=204)

    return blp


def marks_safeguarding(view: Callable[..., Any]) -> Callable[..., Any]:
    """A view of every basis: what is for safeguarding is audited apart, and late if need be, from its first refusal on.

    Below `@allow`, above `@blp.arguments`.
    """

    @wraps(view)
    def marked(*args: Any, **kwargs: Any) -> Any:
        if is_safeguarding():
            audit_as_safeguarding()
        return view(*args, **kwargs)

    return marked


def is_safeguarding() -> bool:
    """Whether this request's body says that it is for safeguarding."""
    return json_body().get("basis") == SAFEGUARDING


def recorded(stores: Stores, *, about: str | None, given: Mapping[str, Any], by: str, now: datetime) -> Concern:
    """Record it. Raises Unavailable, with what to do meanwhile, only while this service's own database is away."""
    try:
        return actions.record(stores, about=about, given=given, by=by, now=now)
    except PyMongoError as error:
        log.error("safeguarding.not_recorded", **where(error))
        raise Unavailable(_NOT_RECORDED) from error


def concern_shown(concern: Concern) -> dict[str, Any]:
    return dict(_SHOW.dump(concern))


def concern_made(concern: Concern) -> JsonResponse:
    """The same answer in every state of the case, and whether or not there are other records."""
    return created(dict(_SHOW_MADE.dump(concern)), location=f"/v1/disclosures/{concern.id}", etag=concern.version)


def concern_anew(stores: Stores) -> Anew:
    return Anew(find=lambda id, _: actions.read_concern(stores, id=id), key=lambda concern: key_of(concern.id))


def _reviewed(concern: Concern) -> JsonResponse:
    # Without the words: they are read where they lie.
    return created(dict(_SHOW_REVIEW.dump(concern)), location=f"/v1/disclosures/{concern.id}", etag=concern.version)


def _answer(concern: Concern) -> Response:
    return ok(concern_shown(concern), etag=concern.version).response()
