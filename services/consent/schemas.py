"""HTTP bodies and queries of the consent service, in and out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import marshmallow as ma

from services.consent.model import consents as c
from services.consent.model import requests as r
from services.consent.store.fields import ORGANISATION_KINDS
from shared.events.consent import DOCUMENT_KINDS, PURPOSES
from shared.http import Body, Choice, DayField, IdField, Line, Moment, PageArgs, Text


class OrganisationIn(Body):
    name = Line(most=200, required=True)
    kind = Choice(*ORGANISATION_KINDS, required=True)


class GivenBy(Body):
    name = Line(most=200, required=True)
    person_id = IdField()
    capacity = Choice(*c.CAPACITIES, required=True)
    basis = Text(most=2_000)


class Purpose(Body):
    purpose = Choice(*PURPOSES, required=True)
    party = IdField(allow_none=True)
    document_kind = Choice(*DOCUMENT_KINDS, allow_none=True)


_WHEN_GIVEN = ("given_by", "channel", "informed_at", "given_at", "statement_version", "purposes")


class ConsentIn(Body):
    """A consent; a decline needs `case_id` and `decision` alone, and nothing else of it is kept."""

    case_id = IdField(required=True)
    decision = Choice("given", "declined", required=True)
    given_by = ma.fields.Nested(GivenBy)
    channel = Choice(*c.CHANNELS)
    informed_at = Moment()
    given_at = Moment()
    statement_version = Line(most=20)
    purposes = ma.fields.List(ma.fields.Nested(Purpose), validate=ma.validate.Length(min=1, max=100))
    evidence = Text(most=2_000)

    @ma.validates_schema
    def whole_when_given(self, data: Mapping[str, Any], **_: Any) -> None:
        if data.get("decision") == "given" and (missing := [name for name in _WHEN_GIVEN if name not in data]):
            raise ma.ValidationError({name: ["Missing data for required field."] for name in missing})


class ConsentsQuery(PageArgs):
    case_id = IdField(required=True)


class WithdrawalIn(Body):
    channel = Choice(*c.CHANNELS, required=True)
    by = Line(most=200, required=True)
    purposes = ma.fields.List(ma.fields.Nested(Purpose), validate=ma.validate.Length(min=1, max=100))


class DecisionQuery(ma.Schema):
    case_id = IdField(required=True)
    purpose = Choice(*PURPOSES, required=True)
    party = IdField()
    document_kind = Choice(*DOCUMENT_KINDS)
    person_id = IdField()


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


class PurposeOut(ma.Schema):
    purpose = ma.fields.String()
    party = ma.fields.String(allow_none=True)
    document_kind = ma.fields.String(allow_none=True)


class WithdrawalOut(ma.Schema):
    id = ma.fields.String()
    consent_id = ma.fields.String()
    case_id = ma.fields.String()
    channel = ma.fields.String()
    by = ma.fields.String()
    purposes = ma.fields.List(ma.fields.Nested(PurposeOut), attribute="grants", allow_none=True)
    at = Moment()


class ConsentOut(ma.Schema):
    id = ma.fields.String()
    case_id = ma.fields.String()
    decision = ma.fields.Constant("given")
    given_by = ma.fields.Dict()
    channel = ma.fields.String()
    informed_at = Moment()
    given_at = Moment()
    statement_version = ma.fields.String()
    purposes = ma.fields.List(ma.fields.Nested(PurposeOut), attribute="grants")
    evidence = ma.fields.String(allow_none=True)
    recorded_at = Moment()


class DecisionOut(ma.Schema):
    allowed = ma.fields.Boolean()
    reason = ma.fields.String()
    consent_id = ma.fields.String(allow_none=True)
    until = Moment(allow_none=True)


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
    signed_at = Moment()
    jws = ma.fields.String()


class OrganisationOut(ma.Schema):
    id = ma.fields.String()
    name = ma.fields.String()
    kind = ma.fields.String()


class StatementOut(ma.Schema):
    version = ma.fields.String()
    text = ma.fields.String()
    sha256 = ma.fields.String()


def _page_of(schema: type[ma.Schema], name: str) -> type[ma.Schema]:
    return ma.Schema.from_dict(
        {"items": ma.fields.List(ma.fields.Nested(schema)), "next": ma.fields.String(allow_none=True)}, name=name
    )


OrganisationPage = _page_of(OrganisationOut, "OrganisationPage")
ConsentPage = _page_of(ConsentOut, "ConsentPage")
RequestPage = _page_of(RequestOut, "RequestPage")
ReceiptList = _page_of(ReceiptOut, "ReceiptList")
HoldPage = _page_of(HoldOut, "HoldPage")
