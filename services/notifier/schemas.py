"""HTTP bodies of the notifier, in and out."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from services.notifier.letters import FORMATS
from services.notifier.model.notifications import Channel, Reason, Status
from shared.http import Body, Choice, IdField, Line, Moment, PageArgs

_MOST_VALUES = 50
_CHANNELS = tuple(str(channel) for channel in Channel)


class Values(ma.fields.Dict):
    """Values for a template, by the names of its fields."""

    def __init__(self, **more: Any) -> None:
        super().__init__(
            keys=ma.fields.String(validate=ma.validate.Length(max=64)),
            validate=ma.validate.Length(max=_MOST_VALUES),
            metadata={"description": "what the template asks for; what is left out is taken from the case"},
            **more,
        )


class NewNotification(Body):
    case_id = IdField(required=True)
    person_id = IdField(required=True)
    template = Line(most=64, required=True)
    values = Values(required=True)
    channel = Choice(*_CHANNELS, load_default=None, allow_none=True)


class NewAlert(Body):
    """The number of a record, and nothing else of it."""

    id = IdField(required=True)


class NotificationMade(ma.Schema):
    id = IdField(required=True)
    status = Choice(*Status, required=True)


class NotificationOut(ma.Schema):
    id = IdField(required=True)
    case_id = IdField(required=True)
    person_id = IdField(required=True)
    template = ma.fields.String(required=True)
    template_version = ma.fields.Integer(required=True)
    channel = Choice(*_CHANNELS, required=True)
    status = Choice(*Status, required=True)
    reason = Choice(*Reason)
    created_at = Moment(required=True)
    sending_at = Moment()
    done_at = Moment()

    @ma.post_dump
    def without_nulls(self, data: dict[str, object], **_: object) -> dict[str, object]:
        return {name: value for name, value in data.items() if value is not None}


class NotificationQuery(PageArgs):
    case_id = IdField(required=True)


class NotificationPage(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(NotificationOut), required=True)
    next = ma.fields.String(allow_none=True, required=True)


class TemplateOut(ma.Schema):
    name = ma.fields.String(required=True)
    versions = ma.fields.List(ma.fields.Integer(), required=True)
    fields_ = ma.fields.Dict(
        keys=ma.fields.String(), values=ma.fields.String(), data_key="fields", attribute="fields", required=True
    )


class TemplatePage(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(TemplateOut), required=True)
    next = ma.fields.String(allow_none=True, required=True)


class PreviewIn(Body):
    values = Values(load_default=dict)
    channel = Choice(*_CHANNELS, load_default="letter", metadata={"description": "a PDF, or an email's HTML"})
    formats = ma.fields.List(Choice(*FORMATS), load_default=list)


class NewLedgerHead(Body):
    head = Line(required=True, most=2_000, metadata={"description": "a compact JWS of the consent service"})


class LedgerHeadOut(ma.Schema):
    number = ma.fields.Integer(required=True, metadata={"description": "of the last entry that it was signed over"})


class PackQuery(ma.Schema):
    class Meta:
        unknown = ma.RAISE

    format = Choice(*FORMATS, metadata={"description": "larger than ordinary"})
