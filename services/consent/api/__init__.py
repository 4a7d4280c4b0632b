"""Routes of the consent service: parse, authorise, call an action, dump."""

from __future__ import annotations

from services.consent.api.clock import clock_routes
from services.consent.api.consents import consent_routes
from services.consent.api.helpline import helpline_routes
from services.consent.api.holds import hold_routes
from services.consent.api.intake import intake_routes
from services.consent.api.organisations import organisation_routes
from services.consent.api.requests import request_routes
from services.consent.api.reviews import review_routes
from services.consent.api.statement import statement_routes
from services.consent.api.tasks import task_routes

__all__ = [
    "clock_routes",
    "consent_routes",
    "helpline_routes",
    "hold_routes",
    "intake_routes",
    "organisation_routes",
    "request_routes",
    "review_routes",
    "statement_routes",
    "task_routes",
]
