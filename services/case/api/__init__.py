"""The routes of the case service: parse, authorise, call an action, dump."""

from __future__ import annotations

from services.case.api.cases import case_routes
from services.case.api.clock import clock_routes
from services.case.api.contacts import contact_routes
from services.case.api.disclosures import disclosure_routes
from services.case.api.entries import entry_routes
from services.case.api.intake import intake_routes
from services.case.api.people import people_routes
from services.case.api.safe_contact import safe_contact_routes
from services.case.api.safeguarding import safeguarding_routes
from services.case.context import Context
from shared.http import Blueprint


def blueprints(context: Context) -> list[Blueprint]:
    """All routes of the service."""
    return [
        case_routes(context),
        intake_routes(context),
        people_routes(context),
        safe_contact_routes(context.stores),
        entry_routes(context.stores),
        contact_routes(context),
        disclosure_routes(context),
        safeguarding_routes(context.stores),
        clock_routes(context),
    ]
