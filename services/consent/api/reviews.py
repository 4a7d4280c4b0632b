"""Annual reviews: what is due, and what was answered."""

from __future__ import annotations

from functools import partial
from typing import Any

from services.consent.actions import review_answers as actions
from services.consent.context import Context
from services.consent.model.reviews import Answer, Review
from services.consent.schemas.reviews import AnswerIn, ReviewOut, ReviewPage, ReviewsQuery
from shared.clock import utc_now
from shared.db.gates import CLOSED
from shared.errors import NotFound
from shared.http import Blueprint, Inward, JsonResponse, allow, audit_case, current_caller, idempotent, ok, page
from shared.security.roles import CASEWORK, CONSENT_READERS


def review_routes(context: Context) -> Blueprint:
    stores = context.stores
    blp = Blueprint("reviews", description="Once a year each person is asked whether the file may go on")

    @blp.route("/reviews")
    @allow(*CONSENT_READERS)
    @blp.arguments(ReviewsQuery, location="query")
    @blp.response(200, ReviewPage)
    def list_reviews(query: dict[str, Any]) -> Any:
        """Reviews, oldest first; `due_before` is a date and inclusive."""
        where: dict[str, Any] = {name: query[name] for name in ("case_id", "state") if name in query}
        if "case_id" in query:
            context.require_known(query["case_id"])
        if "due_before" in query:
            where["due_on"] = {"$lte": query["due_before"].isoformat()}
        return ok(page(query, partial(stores.reviews.page, where), _shown))

    @blp.route("/reviews/<review_id>")
    @allow(*CONSENT_READERS, services=("notifier",))
    @blp.response(200, ReviewOut)
    def get_review(review_id: str) -> Any:
        """One review."""
        review = _found(review_id)
        return ok(_shown(review), etag=review.version)

    @blp.route("/reviews/<review_id>/answer", methods=["POST"])
    @allow(*CASEWORK, inward=Inward.NO)
    @blp.arguments(AnswerIn)
    @blp.response(200, ReviewOut)
    @idempotent(_answered)
    def answer_review(body: dict[str, Any], review_id: str) -> Any:
        """Renew: a consent given anew. Forget: an erasure is asked for. The same again changes nothing."""
        _found(review_id)
        return actions.answer(
            context,
            review_id=review_id,
            decision=Answer(body["decision"]),
            channel=body["channel"],
            by=body["by"],
            recorded_by=current_caller().sub,
            now=utc_now(),
        )

    def _found(review_id: str) -> Review:
        review = stores.reviews.get(review_id)
        if review is None or stores.unit_of_work.gates.state(review.case_id) == CLOSED:
            raise NotFound(actions.NO_REVIEW)
        audit_case(review.case_id)
        return review

    return blp


def _shown(review: Review) -> dict[str, Any]:
    shown: dict[str, Any] = ReviewOut().dump(review)
    return shown


def _answered(review: Review) -> JsonResponse:
    return ok(_shown(review), etag=review.version).about(review.case_id)
