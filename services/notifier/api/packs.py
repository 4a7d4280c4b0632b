"""The blank consent pack, to print for a handwritten envelope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response

from services.notifier import schemas
from services.notifier.actions import packs as actions
from services.notifier.actions.external import Outside
from services.notifier.letters import Office
from shared.clock import utc_now
from shared.http import Blueprint, allow

_ANYONE = ("caseworker", "manager", "data_protection", "safeguarding_lead", "app")


def pack_routes(office: Office, outside: Outside) -> Blueprint:
    blp = Blueprint("packs", description="What is printed before there is a case: it names nobody.")

    @blp.route("/consent-pack")
    @allow(*_ANYONE, audited=False)
    @blp.arguments(schemas.PackQuery, location="query")
    @blp.response(200, content_type="application/pdf")
    def print_pack(query: Mapping[str, Any]) -> Response:
        """The privacy statement in force and a form to fill in by hand, as a PDF; 503 while nobody can say which."""
        wanted = [query["format"]] if "format" in query else []
        return Response(
            actions.consent_pack(outside.calls, office=office, formats=wanted, now=utc_now()),
            content_type="application/pdf",
        )

    return blp
