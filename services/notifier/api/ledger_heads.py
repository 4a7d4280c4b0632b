"""The ledger's head: what the consent service asks of the notifier once a day (decision 35)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response

from services.notifier import schemas
from services.notifier.actions import ledger_heads as actions
from services.notifier.context import Context
from shared.http import Blueprint, Inward, JsonResponse, allow


def ledger_head_routes(context: Context) -> Blueprint:
    blp = Blueprint("ledger_heads", description="The ledger's signed head, to the mailbox that keeps it.")

    # Not audited: it is about no case.
    @blp.route("/ledger-heads", methods=["POST"])
    @allow(services=("consent",), audited=False, inward=Inward.NO)
    @blp.arguments(schemas.NewLedgerHead)
    @blp.response(202, schemas.LedgerHeadOut)
    def mail_head(body: Mapping[str, Any]) -> Response:
        """Send this head to FMN_LEDGER_HEAD_MAIL, unless one of the same day was asked for."""
        head = actions.request_head(context, head=body["head"])
        return JsonResponse(status=202, body={"number": head.number}).response()

    return blp
