"""What the consent service asks of this one for an intake (docs/decisions/0024)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flask import Response

from services.case.actions import intake as actions
from services.case.model.consents import Standing
from services.case.schemas import intake as schemas
from services.case.store import CaseStores
from shared.clock import utc_now
from shared.errors import Invalid
from shared.http import Blueprint, Inward, allow, ok, require_room

_SHOW = schemas.ExpectedOut()


def intake_routes(stores: CaseStores, *, shell_life: timedelta) -> Blueprint:
    blp = Blueprint("intake", description="For the consent service, which leads an intake.")

    @blp.route("/cases/<case_id>/intake/shell", methods=["POST"])
    @allow(services=("consent",), inward=Inward.BY_BODY)
    @blp.arguments(schemas.ExpectIn)
    @blp.response(200, schemas.ExpectedOut)
    def expect_intake(body: Mapping[str, Any], case_id: str) -> Response:
        """Check people and wishes, make the shell of that id, and show the case as it will be."""
        require_room()
        try:
            coming = _coming(body, case_id)
        except Invalid as wrong:
            # What was wrong is for whoever asked the consent service, which tells a refusal of ours in its own words.
            return ok({"errors": wrong.errors}).response()
        expected = actions.expect(
            stores, coming, case_id=case_id, channel=body["channel"], life=shell_life, now=utc_now()
        )
        return ok(_SHOW.dump(expected)).response()

    # The family has agreed by now, and has been told so: this goes on while a disk is nearly full.
    @blp.route("/cases/<case_id>/intake", methods=["POST"])
    @allow(services=("consent",), inward=Inward.NO)
    @blp.arguments(schemas.TakeIn)
    @blp.response(204)
    def take_intake(body: Mapping[str, Any], case_id: str) -> Response:
        """Keep the people and wishes; nothing where they have come before."""
        standing = [Standing(**one) for one in body["standing"]]
        actions.take(stores, _coming(body, case_id), case_id=case_id, standing=standing, seq=body["seq"])
        return Response(status=204)

    return blp


def _coming(body: Mapping[str, Any], case_id: str) -> actions.Coming:
    return actions.checked_coming(
        case_id=case_id, people=body["people"], wishes=body["wishes"], by=body["by"], at=body["at"]
    )
