"""Consents, their withdrawal, decisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import marshmallow as ma

from services.consent.model import consents as c
from services.consent.model.consents import Consent
from services.consent.schemas.pages import page_of
from shared.events.consent import DOCUMENT_KINDS, PURPOSES
from shared.http import Body, Choice, DayField, IdField, Line, Moment, PageArgs, Text


class Incapacity(Body):
    """That a person can't decide for themselves, and who does (Mental Capacity Act 2005)."""

    represented_by = Choice(*c.REPRESENTATIVES, required=True, metadata={"description": "in this order"})
    how_judged = Text(most=2_000, required=True)
    judged_by = Line(most=200, required=True)


class GivenBy(Body):
    name = Line(most=200, required=True)
    person_id = IdField()
    capacity = Choice(*c.CAPACITIES, required=True)
    basis = Text(
        most=2_000, metadata={"description": "of `other`; of `child`, how their competence was judged, and by whom"}
    )
    for_person_id = IdField(metadata={"description": "the young person for whom another person decides"})
    incapacity = ma.fields.Nested(Incapacity, metadata={"description": "with `for_person_id`, in capacity `other`"})


def flat(given_by: Mapping[str, Any]) -> dict[str, Any]:
    """Who gave a consent, by the names that the model has: those of `incapacity` beside the others."""
    return {**{name: said for name, said in given_by.items() if name != "incapacity"}, **given_by.get("incapacity", {})}


def nested(given: Consent) -> dict[str, Any]:
    """Who gave a consent, as a body says it."""
    shown: dict[str, Any] = {name: getattr(given, name) for name in ("name", "person_id", "capacity", "basis")}
    if given.for_person_id is not None:
        judged = {name: getattr(given, name) for name in ("represented_by", "how_judged", "judged_by")}
        shown |= {"for_person_id": given.for_person_id, "incapacity": judged}
    return shown


class IncapacityOut(ma.Schema):
    represented_by = Choice(*c.REPRESENTATIVES, required=True)
    how_judged = ma.fields.String(required=True)
    judged_by = ma.fields.String(required=True)


class GivenBySent(ma.Schema):
    """Who gave a consent, as the body said it."""

    name = ma.fields.String(required=True)
    person_id = IdField()
    capacity = Choice(*c.CAPACITIES, required=True)
    basis = ma.fields.String()
    for_person_id = IdField()
    incapacity = ma.fields.Nested(IncapacityOut)


class GivenByRead(GivenBySent):
    """Who gave a consent. `for_person_id` and `incapacity` are there where another person decided."""

    person_id = IdField(required=True, allow_none=True)
    basis = ma.fields.String(required=True, allow_none=True)


class GivenByOut(ma.fields.Nested):
    """`nested`, on a whole consent. sent: only what a body has, which leaves out what isn't so."""

    def __init__(self, *, sent: bool, **more: Any) -> None:
        super().__init__(GivenBySent if sent else GivenByRead, **more)
        self._sent = sent

    def serialize(self, attr: str, obj: Any, accessor: Any = None, **more: Any) -> dict[str, Any]:
        shown = nested(obj)
        return {name: value for name, value in shown.items() if value is not None} if self._sent else shown


class Purpose(Body):
    purpose = Choice(*PURPOSES, required=True)
    party = IdField(allow_none=True)
    document_kind = Choice(*DOCUMENT_KINDS, allow_none=True)


class LimitedPurpose(Purpose):
    until = DayField(allow_none=True, metadata={"description": "the last day on which it stands, in London, included"})


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
    purposes = ma.fields.List(ma.fields.Nested(LimitedPurpose), validate=ma.validate.Length(min=1, max=100))
    until = DayField(allow_none=True, metadata={"description": "for every purpose, unless one ends earlier"})
    evidence = IdField(allow_none=True, metadata={"description": "a document of the case that shows it"})

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


class PurposeOut(ma.Schema):
    purpose = Choice(*PURPOSES, required=True)
    party = IdField(required=True, allow_none=True)
    document_kind = Choice(*DOCUMENT_KINDS, required=True, allow_none=True)


class WithdrawalOut(ma.Schema):
    id = IdField(required=True, attribute="ending.id")
    consent_id = IdField(required=True, attribute="ending.consent_id")
    case_id = IdField(required=True, attribute="ending.case_id")
    channel = Choice(*c.CHANNELS, required=True, attribute="ending.channel")
    by = ma.fields.String(required=True, attribute="ending.by")
    purposes = ma.fields.List(ma.fields.Nested(PurposeOut), required=True, attribute="ending.grants", allow_none=True)
    at = Moment(required=True, attribute="ending.recorded_at")
    request_id = IdField(
        required=True,
        allow_none=True,
        metadata={"description": "the erasure that it asks for, where it was the last one to the file"},
    )


class LimitedPurposeOut(PurposeOut):
    until = DayField(required=True, allow_none=True)


class HappeningOut(ma.Schema):
    event = Choice("given", *c.Ended, required=True)
    at = Moment(required=True)
    purposes = ma.fields.List(
        ma.fields.Nested(PurposeOut), required=True, allow_none=True, metadata={"description": "null: all"}
    )
    superseded_by = IdField(required=True, allow_none=True)


class DeclinedOut(ma.Schema):
    """What a decline answers; nothing of it is kept."""

    helpline = ma.fields.String(required=True, metadata={"description": "how to use the helpline"})


class ConsentOut(ma.Schema):
    id = IdField(required=True)
    case_id = IdField(required=True)
    decision = ma.fields.Constant("given", required=True)
    given_by = GivenByOut(sent=True, required=True)
    channel = Choice(*c.CHANNELS, required=True)
    informed_at = Moment(required=True)
    given_at = Moment(required=True)
    statement_version = ma.fields.String(required=True)
    statement_sha256 = ma.fields.String(required=True)
    purposes = ma.fields.List(ma.fields.Nested(LimitedPurposeOut), required=True, attribute="grants")
    until = DayField(required=True, allow_none=True)
    evidence = IdField(required=True, allow_none=True, metadata={"description": "a document of the case"})
    recorded_at = Moment(required=True)


class ShownConsent(ConsentOut):
    """A consent as it is read: with what still stands of it, and its history."""

    given_by = GivenByOut(sent=False, required=True)
    standing = ma.fields.List(ma.fields.Nested(LimitedPurposeOut), required=True)
    history = ma.fields.List(ma.fields.Nested(HappeningOut), required=True)
    etag = ma.fields.String(required=True)


class DecisionOut(ma.Schema):
    allowed = ma.fields.Boolean(required=True)
    reason = ma.fields.String(required=True, metadata={"description": "a fixed word that says why"})
    consent_id = IdField(metadata={"description": "what allows it"})
    until = Moment()


ConsentPage = page_of(ShownConsent, "ConsentPage")
