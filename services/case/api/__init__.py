"""The routes of the case service: parse, authorise, call an action, dump."""

from __future__ import annotations

from datetime import timedelta

from services.case.actions.outward import Asks
from services.case.api.cases import case_routes
from services.case.api.clock import clock_routes
from services.case.api.contacts import contact_routes
from services.case.api.disclosures import disclosure_routes
from services.case.api.entries import entry_routes
from services.case.api.intake import intake_routes
from services.case.api.people import people_routes
from services.case.api.safe_contact import safe_contact_routes
from services.case.api.safeguarding import safeguarding_routes
from services.case.store import CaseStores
from shared.http import Blueprint


def blueprints(stores: CaseStores, calls: Asks, *, shell_life: timedelta) -> list[Blueprint]:
    return [
        case_routes(stores, shell_life=shell_life),
        intake_routes(stores, shell_life=shell_life),
        people_routes(stores),
        safe_contact_routes(stores),
        entry_routes(stores),
        contact_routes(stores, calls),
        disclosure_routes(stores, calls),
        safeguarding_routes(stores),
        clock_routes(stores),
    ]
