"""Notifications: sent on purpose, followed, cancelled, returned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flask import Response

from services.notifier import schemas
from services.notifier.actions import notifications as actions
from services.notifier.context import Context
from services.notifier.model.notifications import Channel, Notification
from shared.clock import utc_now
from shared.errors import Invalid
from shared.http import (
    Blueprint,
    Inward,
    JsonResponse,
    allow,
    audit_case,
    body_reader,
    created,
    idempotent,
    json_body,
    ok,
    page,
)
from shared.ids import new_id
from shared.security.roles import CASE_READERS, CASEWORK

_SHOW = schemas.NotificationOut()
# An email is shown as it was written, and nothing in it may run or be fetched.
HTML_HEADERS: Final = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}


def notification_routes(context: Context) -> Blueprint:
    stores = context.stores
    # The views' names are the actions in audit rows.
    blp = Blueprint("notifications", description="Letters and emails to the adults of a case.")

    @blp.route("/notifications", methods=["POST"])
    @allow(*CASEWORK, inward=Inward.YES)
    @blp.arguments(schemas.NewNotification)
    @blp.response(202, schemas.NotificationMade)
    @idempotent(_made)
    def send_notification(body: Mapping[str, Any]) -> Notification:
        """Send a template to one person, on purpose; consent is asked for now, and again when it goes.

        Poll it: `created`, `sending`, then `delivered` or a state with its `reason`. Nothing is sent twice: one whose
        outcome isn't known becomes `needs_attention`.
        """
        context.require_known(body["case_id"])
        channel = body["channel"]
        return actions.send_on_purpose(
            context,
            id=new_id(),
            case_id=body["case_id"],
            person_id=body["person_id"],
            template=body["template"],
            values=body["values"],
            channel=None if channel is None else Channel(channel),
            now=utc_now(),
        )

    @blp.route("/notifications")
    @allow(*CASE_READERS)
    @blp.arguments(schemas.NotificationQuery, location="query")
    @blp.response(200, schemas.NotificationPage)
    def list_notifications(query: Mapping[str, Any]) -> Response:
        """A case's notifications, oldest first."""
        case_id = query["case_id"]
        context.require_known(case_id)
        found = page(
            query,
            lambda after, limit: actions.of_case(stores, case_id=case_id, after=after, limit=limit),
            _shown,
        )
        return ok(found).response()

    @blp.route("/notifications/<notification_id>")
    @allow(*CASE_READERS)
    @blp.response(200, schemas.NotificationOut)
    def read_notification(notification_id: str) -> Response:
        """One notification."""
        found = actions.read(stores, notification_id)
        audit_case(found.case_id)
        return ok(_shown(found), etag=found.version).response()

    @blp.route("/notifications/<notification_id>/content")
    @allow(*CASE_READERS)
    @blp.response(200, content_type="application/pdf")
    @blp.alternative(200, content_type="text/html")
    def read_notification_content(notification_id: str) -> Response:
        """The PDF or the HTML, while it is kept: until it has gone."""
        found = actions.read(stores, notification_id)
        audit_case(found.case_id)
        kept = actions.content_of(found)
        if kept.pdf is not None:
            return Response(kept.pdf, content_type="application/pdf")
        html = (kept.email or {})["html"]
        return Response(html, content_type="text/html; charset=utf-8", headers=HTML_HEADERS)

    @blp.route("/notifications/<notification_id>/cancellation", methods=["POST"])
    @allow(*CASEWORK, inward=Inward.NO)
    @blp.response(200, schemas.NotificationOut)
    @idempotent(_changed)
    def cancel_notification(notification_id: str) -> Notification:
        """Stop one that hasn't gone."""
        _no_body()
        audit_case(actions.read(stores, notification_id).case_id)
        return actions.cancel(stores, id=notification_id)

    @blp.route("/notifications/<notification_id>/returned", methods=["POST"])
    @allow(*CASEWORK, inward=Inward.NO)
    @blp.response(200, schemas.NotificationOut)
    @idempotent(_changed)
    def return_notification(notification_id: str) -> Notification:
        """It came back: the person was not reached."""
        _no_body()
        audit_case(actions.read(stores, notification_id).case_id)
        return actions.mark_returned(stores, id=notification_id)

    return blp


def _no_body() -> None:
    """Nothing, or an object with nothing in it. Raises Invalid."""
    if body_reader().length != 0 and json_body():
        raise Invalid("This path takes no fields. Nothing was changed.", errors={"body": ["Unknown field."]})


def _shown(found: Notification) -> dict[str, Any]:
    shown: dict[str, Any] = _SHOW.dump(found)
    return shown


def _made(new: Notification) -> JsonResponse:
    body = {"id": new.id, "status": str(new.status)}
    location = f"/v1/notifications/{new.id}"
    return created(body, location=location, etag=new.version, case_id=new.case_id, status=202)


def _changed(found: Notification) -> JsonResponse:
    return ok(_shown(found), etag=found.version).about(found.case_id)
