"""The daily clock, run by hand: for `forgetmenot clock run`."""

from __future__ import annotations

from functools import partial
from typing import Any

from services.consent.actions.clock import Ran, end_shells, run_clock
from services.consent.context import Context
from services.consent.model.clock import Stopped
from services.consent.schemas.reviews import ClockIn, ClockOut
from shared.clock import utc_now
from shared.errors import Conflict, Forbidden, Invalid
from shared.fields import Subject
from shared.http import Blueprint, Inward, allow, ok

_WHY = {
    Stopped.BEHIND: "The last run was later than this",
    Stopped.TOO_FAR: "This is more than 10 days past the last run",
    Stopped.TOO_MANY: "More would expire than one run may end (FMN_CLOCK_MAX)",
}


def clock_routes(context: Context) -> Blueprint:
    blp = Blueprint("clock", description="What falls due by itself, for the operator of this service")

    # Nothing of a case is shown or named in it: numbers alone.
    @blp.route("/clock", methods=["POST"])
    @allow(services=("consent",), audited=False, inward=Inward.NO)
    @blp.arguments(ClockIn)
    @blp.response(200, ClockOut)
    def run(body: dict[str, Any]) -> Any:
        """Run the clock now, or at another time; a dry run only counts. 409 for a run that must be confirmed."""
        if "now" in body and not context.time_travel:
            raise Forbidden("Another time than now is only for a stack with FMN_TIME_TRAVEL=on. Nothing was changed.")
        if "confirm" in body and not Subject().accepts(body["confirm"]):
            raise Invalid(
                "The name can't be kept. Nothing was changed.",
                errors={"confirm": ["An opaque name without spaces, such as `manager-1`."]},
            )
        ran = run_clock(
            context.stores,
            context.windows,
            now=body.get("now") or utc_now(),
            most=context.most_expiries,
            dry_run=body["dry_run"],
            confirmed_by=body.get("confirm"),
            end_shells=partial(end_shells, context),
        )
        if ran.stopped is not None and not body["dry_run"]:
            raise Conflict(f"{_WHY[ran.stopped]}. Nothing was changed. Look at a dry run, and say who confirms it.")
        return ok(_shown(ran))

    return blp


def _shown(ran: Ran) -> dict[str, Any]:
    shown: dict[str, Any] = ClockOut().dump(ran)
    return shown
