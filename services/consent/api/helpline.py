"""The helpline's tally: how many calls a month, and nothing of any call (P3). Off unless the office wants it."""

from __future__ import annotations

from typing import Any

from flask import Response

from services.consent.context import Context
from services.consent.schemas.office import HelplineMonths
from services.consent.store.helpline import add_call, calls_by_month
from shared.clock import utc_now
from shared.errors import Invalid, NotFound
from shared.http import Blueprint, Inward, allow, body_reader, leave_no_trace, ok
from shared.security.roles import CASEWORK, DATA_PROTECTION, MANAGER
from shared.uk.working_days import london_day

_OFF = "This office doesn't count its helpline calls."


def helpline_routes(context: Context) -> Blueprint:
    calls = context.stores.helpline_calls
    blp = Blueprint("helpline", description="How many helpline calls a month, where the office counts them")

    # Neither audited nor logged: a row or a line for each call would be a note of it.
    @blp.route("/helpline-calls", methods=["POST"])
    @allow(*CASEWORK, audited=False, inward=Inward.NO)
    @blp.response(204)
    def count_call() -> Any:
        """One more call this month. It takes no body at all."""
        leave_no_trace()
        if body_reader().length != 0:
            raise Invalid("A helpline call is counted and never noted: send no body. Nothing was counted.")
        if not context.counts_calls:
            raise NotFound(_OFF)
        add_call(calls, f"{london_day(utc_now()):%Y-%m}")
        return Response(status=204)

    @blp.route("/helpline-calls")
    @allow(MANAGER, DATA_PROTECTION, audited=False)
    @blp.response(200, HelplineMonths)
    def list_months() -> Any:
        """How many, by month, oldest first."""
        if not context.counts_calls:
            raise NotFound(_OFF)
        items = [{"month": month, "count": count} for month, count in calls_by_month(calls)]
        return ok({"items": items, "next": None})

    return blp
