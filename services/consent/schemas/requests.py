"""Requests of the family, holds, receipts of an erasure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import marshmallow as ma

from services.consent.model import consents as c
from services.consent.model import requests as r
from services.consent.schemas.pages import page_of
from shared.events import SERVICES
from shared.http import Body, Choice, DayField, IdField, Line, Moment, PageArgs, Text


class MadeBy(Body):
    person_id = IdField()
    name = Line(most=200)
    authority = Choice(*r.AUTHORITIES, required=True)
    basis = Text(most=2_000)

    @ma.validates_schema
    def someone(self, data: Mapping[str, Any], **_: Any) -> None:
        if "person_id" not in data and "name" not in data:
            raise ma.ValidationError({"name": ["Say who asked: a person of the case, or a name."]})


class RequestIn(Body):
    kind = Choice("erasure", required=True)
    case_id = IdField(required=True)
    received_at = Moment(required=True)
    channel = Choice(*c.CHANNELS, required=True)
    made_by = ma.fields.Nested(MadeBy, required=True)
    about = ma.fields.List(IdField(), validate=ma.validate.Length(min=1, max=50))
    identity = Choice("settled", "in_doubt", load_default="settled")
    note = Text(most=2_000)
    late_reason = Text(most=2_000)


class RequestsQuery(PageArgs):
    status = Choice(*r.Status)
    due_before = DayField()
    case_id = IdField()


class ConfirmationIn(Body):
    checked = ma.fields.List(Choice(*sorted(r.CHECKS)), required=True)


class IdentityIn(Body):
    outcome = Choice("settled", "in_doubt", required=True)
    by = Line(most=200, required=True)


class EndedIn(Body):
    channel = Choice(*c.CHANNELS, required=True)
    by = Line(most=200, required=True)


class RefusalIn(Body):
    ground = Line(most=200, required=True)
    words = Text(most=2_000, required=True)


class VoidIn(Body):
    reason = Text(most=2_000, required=True)


class LastLetterIn(Body):
    outcome = Choice(*r.SETTLEMENTS, required=True)
    reason = Text(most=2_000, required=True)


class ElsewhereIn(Body):
    place = Line(most=64, required=True)
    by = Line(most=200, required=True)


class HoldIn(Body):
    case_id = IdField(required=True)
    ground = Choice(*r.GROUNDS, required=True)
    until = DayField(required=True)
    reason = Text(most=2_000, required=True)


class HoldsQuery(PageArgs):
    case_id = IdField()


class RequestOut(ma.Schema):
    """A request as everyone who follows it sees it; nothing personal."""

    id = IdField(required=True)
    kind = Choice(*r.KINDS, required=True)
    case_id = IdField(required=True)
    status = Choice(*r.Status, required=True)
    received_at = Moment(required=True)
    logged_at = Moment(required=True)
    channel = Choice(*c.CHANNELS, required=True)
    due_on = DayField(required=True)
    due_at = Moment(required=True)
    identity = ma.fields.Function(
        lambda request: "settled" if request.identity_settled else "in_doubt",
        required=True,
        metadata={"type": "string", "enum": ["settled", "in_doubt"]},
    )
    waiting_on = ma.fields.List(
        ma.fields.String(), required=True, metadata={"description": "what stands between now and done"}
    )
    completed_at = Moment(metadata={"description": "there once it is completed"})


class HoldOut(ma.Schema):
    id = IdField(required=True)
    case_id = IdField(required=True)
    ground = Choice(*r.GROUNDS, required=True)
    until = DayField(required=True)
    reason = ma.fields.String(required=True)
    placed_at = Moment(required=True)
    etag = ma.fields.Function(lambda hold: f'"{hold.version}"', required=True, metadata={"type": "string"})


class StoreOut(ma.Schema):
    store = ma.fields.String(required=True)
    found = ma.fields.Integer(required=True)
    deleted = ma.fields.Integer(required=True)
    remaining = ma.fields.Integer(required=True)


class ReceiptOut(ma.Schema):
    service = Choice(*SERVICES, required=True)
    attempt = ma.fields.Integer(required=True)
    outcome = Choice("erased", "nothing_held", "failed", required=True)
    stores = ma.fields.List(ma.fields.Nested(StoreOut), required=True)
    late = ma.fields.List(ma.fields.String(), required=True)
    root_destroyed_at = Moment(required=True, allow_none=True)
    signed_at = Moment(required=True)
    jws = ma.fields.String(required=True, metadata={"description": "compact: the signed receipt itself"})


RequestPage = page_of(RequestOut, "RequestPage")
ReceiptList = page_of(ReceiptOut, "ReceiptList")
HoldPage = page_of(HoldOut, "HoldPage")
