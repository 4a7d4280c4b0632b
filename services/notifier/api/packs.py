"""The blank consent pack, to print for a handwritten envelope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response

from services.notifier import schemas
from services.notifier.actions import packs as actions
from services.notifier.context import Context
from shared.clock import utc_now
from shared.http import Blueprint, allow
from shared.security.roles import CASE_READERS, DATA_PROTECTION


def pack_routes(context: Context) -> Blueprint:
    blp = Blueprint("packs", description="What is printed before there is a case: it names no person.")

    @blp.route("/consent-pack")
    @allow(*CASE_READERS, DATA_PROTECTION, audited=False)
    @blp.arguments(schemas.PackQuery, location="query")
    @blp.response(200, content_type="application/pdf")
    def print_consent_pack(query: Mapping[str, Any]) -> Response:
        """The privacy statement in force and a form to fill in by hand, as a PDF; 503 while it can't be read."""
        wanted = [query["format"]] if "format" in query else []
        pdf = actions.consent_pack(context, formats=wanted, now=utc_now())
        return Response(pdf, content_type="application/pdf")

    return blp
