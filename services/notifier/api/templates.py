"""Templates: which there are, and how one looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response

from services.notifier import schemas
from services.notifier.actions import templates as actions
from services.notifier.api.notifications import HTML_HEADERS
from services.notifier.context import Context
from shared.clock import utc_now
from shared.http import Blueprint, Inward, allow, ok
from shared.security.roles import MANAGER


def template_routes(context: Context) -> Blueprint:
    blp = Blueprint("templates", description="What letters and emails are written from.")

    @blp.route("/templates")
    @allow(MANAGER, audited=False)
    @blp.response(200, schemas.TemplatePage)
    def list_templates() -> Response:
        """Every built-in template with the values it asks for."""
        return ok({"items": actions.list_templates(), "next": None}).response()

    @blp.route("/templates/<name>/preview", methods=["POST"])
    @allow(MANAGER, audited=False, inward=Inward.NO)
    @blp.arguments(schemas.PreviewIn)
    @blp.response(200, content_type="application/pdf")
    @blp.alternative(200, content_type="text/html")
    def preview_template(body: Mapping[str, Any], name: str) -> Response:
        """A template with sample values, or with yours: a PDF or an email's HTML, stored nowhere."""
        if body["channel"] == "email":
            html = actions.preview_email(name, body["values"], office=context.office, now=utc_now())
            return Response(html, content_type="text/html; charset=utf-8", headers=HTML_HEADERS)
        pdf = actions.preview_letter(
            name, body["values"], formats=body["formats"], office=context.office, now=utc_now()
        )
        return Response(pdf, content_type="application/pdf")

    return blp
