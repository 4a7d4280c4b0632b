"""The signature that a shell may end, for the case service alone."""

from __future__ import annotations

from services.consent.actions.endings import grant_ending
from services.consent.context import Context
from services.consent.schemas.office import EndingGrant
from shared.http import Blueprint, Inward, JsonResponse, allow, leave_no_trace, ok


def ending_routes(context: Context) -> Blueprint:
    blp = Blueprint("endings", description="Shells that end")

    # Neither audited nor logged: an expired shell leaves no row and no line, so a declined one may not either (P8).
    @blp.route("/ending-grants/<case_id>", methods=["POST"])
    @allow(services=("case",), audited=False, inward=Inward.NO)
    @blp.response(200, EndingGrant)
    def sign_ending(case_id: str) -> JsonResponse:
        """That no one agreed to this shell, signed; 409 where a consent was given."""
        leave_no_trace()
        return ok({"grant": grant_ending(context, case_id=case_id)})

    return blp
