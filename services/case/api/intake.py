"""What the consent service asks of this one for an intake (docs/decisions/0024)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response

from services.case.actions import intake as actions
from services.case.context import Context
from services.case.schemas import intake as schemas
from shared.clock import utc_now
from shared.errors import Invalid
from shared.http import Blueprint, Inward, allow, ok, require_room
from shared.known_consents import standing_in

_SHOW = schemas.ExpectedOut()


def intake_routes(context: Context) -> Blueprint:
    stores = context.stores
    blp = Blueprint("intake", description="For the consent service, which leads an intake.")

    @blp.route("/cases/<case_id>/intake/shell", methods=["POST"])
    @allow(services=("consent",), inward=Inward.BY_BODY)
    @blp.arguments(schemas.ExpectIn)
    @blp.response(200, schemas.ExpectedOut)
    def expect_intake(body: Mapping[str, Any], case_id: str) -> Response:
        """Check people and wishes, make the shell of that id, and show the case as it will be."""
        require_room()
        try:
            intake = _intake(context, body, case_id)
        except Invalid as wrong:
            # It is for the consent service's caller; a refusal of ours the consent service would put in its own words.
            return ok({"errors": wrong.errors}).response()
        preview = actions.begin_intake(
            stores, intake, case_id=case_id, channel=body["channel"], life=context.shell_life, now=utc_now()
        )
        return ok(_SHOW.dump(preview)).response()

    # The family has agreed by now, and has been told so: this goes on while a disk is nearly full.
    @blp.route("/cases/<case_id>/intake", methods=["POST"])
    @allow(services=("consent",), inward=Inward.NO)
    @blp.arguments(schemas.TakeIn)
    @blp.response(204)
    def take_intake(body: Mapping[str, Any], case_id: str) -> Response:
        """Keep the people and wishes; nothing where they have come before."""
        intake, standing = _intake(context, body, case_id), standing_in(body["standing"])
        actions.complete_intake(stores, intake, case_id=case_id, standing=standing, seq=body["seq"])
        return Response(status=204)

    return blp


def _intake(context: Context, body: Mapping[str, Any], case_id: str) -> actions.Intake:
    return actions.checked_intake(
        case_id=case_id,
        people=body["people"],
        wishes=body["wishes"],
        by=body["by"],
        mail_takes_utf8=context.mail_takes_utf8,
        at=body["at"],
    )
