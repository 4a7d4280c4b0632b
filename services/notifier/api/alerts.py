"""Alerts: what the case service asks of the notifier when the safeguarding lead must look at something (P15)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response

from services.notifier import schemas
from services.notifier.actions import alerts as actions
from services.notifier.context import Context
from shared.http import Blueprint, Inward, JsonResponse, allow, leave_no_trace


def alert_routes(context: Context) -> Blueprint:
    blp = Blueprint("alerts", description="Emails to the office itself.")

    # Neither audited nor counted: it reads and changes nothing of a case, and would say that there is something.
    @blp.route("/alerts", methods=["POST"])
    @allow(services=("case",), audited=False, inward=Inward.NO)
    @blp.arguments(schemas.NewAlert)
    @blp.response(202, schemas.NewAlert)
    def alert_lead(body: Mapping[str, Any]) -> Response:
        """Tell the safeguarding lead that the record with this number waits for a review."""
        leave_no_trace()
        actions.request_alert(context.stores, id=body["id"])
        return JsonResponse(status=202, body={"id": body["id"]}).response()

    return blp
