"""Routes of the consent service: parse, authorise, call an action, dump."""

from __future__ import annotations

from services.consent.api.consents import consent_routes
from services.consent.api.holds import hold_routes
from services.consent.api.requests import request_routes
from services.consent.api.statement import statement_routes

__all__ = ["consent_routes", "hold_routes", "request_routes", "statement_routes"]
