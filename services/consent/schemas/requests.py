"""Requests of the family, holds, receipts of an erasure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import marshmallow as ma

from services.consent.model import consents as c
from services.consent.model import requests as r
from services.consent.schemas.pages import page_of
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

    id = ma.fields.String()
    kind = ma.fields.String()
    case_id = ma.fields.String()
    status = ma.fields.String()
    received_at = Moment()
    logged_at = Moment()
    channel = ma.fields.String()
    due_on = DayField()
    due_at = Moment()
    identity = ma.fields.Function(lambda request: "settled" if request.identity_settled else "in_doubt")
    waiting_on = ma.fields.List(ma.fields.String())
    completed_at = Moment(allow_none=True)


class HoldOut(ma.Schema):
    id = ma.fields.String()
    case_id = ma.fields.String()
    ground = ma.fields.String()
    until = DayField()
    reason = ma.fields.String()
    placed_at = Moment()
    etag = ma.fields.Function(lambda hold: f'"{hold.version}"')


class StoreOut(ma.Schema):
    store = ma.fields.String()
    found = ma.fields.Integer()
    deleted = ma.fields.Integer()
    remaining = ma.fields.Integer()


class ReceiptOut(ma.Schema):
    service = ma.fields.String()
    attempt = ma.fields.Integer()
    outcome = ma.fields.String()
    stores = ma.fields.List(ma.fields.Nested(StoreOut))
    late = ma.fields.List(ma.fields.String())
    root_destroyed_at = Moment(allow_none=True)
    signed_at = Moment()
    jws = ma.fields.String()


RequestPage = page_of(RequestOut, "RequestPage")
ReceiptList = page_of(ReceiptOut, "ReceiptList")
HoldPage = page_of(HoldOut, "HoldPage")
