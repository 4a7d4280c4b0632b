"""Routes of the consent service: parse, authorise, call an action, dump."""

from __future__ import annotations

from services.consent.api.clock import clock_routes
from services.consent.api.consents import consent_routes
from services.consent.api.endings import ending_routes
from services.consent.api.helpline import helpline_routes
from services.consent.api.holds import hold_routes
from services.consent.api.intake import intake_routes
from services.consent.api.organisations import organisation_routes
from services.consent.api.requests import request_routes
from services.consent.api.reviews import review_routes
from services.consent.api.statement import statement_routes
from services.consent.api.tasks import task_routes
from services.consent.context import Context
from shared.http import Blueprint


def blueprints(context: Context) -> list[Blueprint]:
    """Every route, by its noun."""
    return [
        statement_routes(),
        organisation_routes(context),
        consent_routes(context),
        intake_routes(context),
        request_routes(context),
        hold_routes(context),
        task_routes(context),
        review_routes(context),
        clock_routes(context),
        ending_routes(context),
        helpline_routes(context),
    ]
