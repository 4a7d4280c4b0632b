"""What the consent service's clock asks of this one: shells whose time is over, and when a file was last worked on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from flask import Response

from services.case.actions import cases as actions
from services.case.context import Context
from shared.clock import utc_now
from shared.http import Blueprint, Body, Inward, Moment, allow, leave_no_trace, ok


class ClockRun(Body):
    now = Moment(required=True)
    dry_run = ma.fields.Boolean(required=True)


class ShellsEnded(ma.Schema):
    shells = ma.fields.Integer()


class LastEntry(ma.Schema):
    at = Moment(allow_none=True)


def clock_routes(context: Context) -> Blueprint:
    blp = Blueprint("clock", description="For the consent service's clock.")

    # Neither audited nor logged, as the sweep that does the same each minute (P8).
    @blp.route("/cases/expiry", methods=["POST"])
    @allow(services=("consent",), audited=False, inward=Inward.NO)
    @blp.arguments(ClockRun)
    @blp.response(200, ShellsEnded)
    def end_shells(body: Mapping[str, Any]) -> Response:
        """End the shells whose time is over at `now`, or only count them."""
        leave_no_trace()
        count = actions.count_expired_shells if body["dry_run"] else actions.end_expired_shells
        return ok({"shells": count(context, body["now"])}).response()

    @blp.route("/cases/<case_id>/last-entry")
    @allow(services=("consent",))
    @blp.response(200, LastEntry)
    def last_entry(case_id: str) -> Response:
        """When the last entry was made on the file; null where there is none."""
        at = actions.last_entry_at(context.stores, case_id=case_id, now=utc_now())
        return ok(LastEntry().dump({"at": at})).response()

    return blp
