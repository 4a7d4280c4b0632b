"""The bodies of contacts, disclosures and safeguarding: what callers send, and what they are answered."""

from __future__ import annotations

import marshmallow as ma

from services.case.model import contacts, disclosures, safeguarding
from shared.http import Body, Choice, DayField, Either, FlagField, IdField, Line, Moment, PageArgs, Text


class NewContact(Body):
    organisation_id = IdField(required=True)
    purpose = Text(most=contacts.MAX_PURPOSE_CHARACTERS, required=True)
    summary = Text(most=contacts.MAX_SUMMARY_CHARACTERS, required=True)


class ContactOut(ma.Schema):
    id = IdField(required=True)
    case_id = IdField(required=True)
    organisation_id = IdField(required=True)
    consent_id = IdField(required=True, metadata={"description": "what allowed it at that moment"})
    purpose = ma.fields.String(required=True)
    summary = ma.fields.String(required=True)
    recorded_at = Moment(required=True)
    recorded_by = ma.fields.String(required=True)


class ContactPage(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(ContactOut), required=True)
    next = ma.fields.String(allow_none=True, required=True)


class NewConcern(Body):
    """A disclosure; which fields its basis wants, the model says."""

    recipient = Line(most=disclosures.MAX_RECIPIENT_CHARACTERS, allow_none=True)
    what = Text(
        most=disclosures.MAX_WHAT_CHARACTERS, required=True, metadata={"description": "the least that is needed"}
    )
    basis = Choice(disclosures.SAFEGUARDING, load_default=disclosures.SAFEGUARDING)
    decision = Choice(
        *disclosures.DECISIONS,
        load_default=disclosures.SHARED,
        metadata={"description": "a decision not to share for safeguarding is recorded too"},
    )
    party = IdField(allow_none=True)
    reason = Text(most=disclosures.MAX_REASON_CHARACTERS, allow_none=True)
    told_family = FlagField(allow_none=True)
    order = Text(most=disclosures.MAX_ORDER_CHARACTERS, allow_none=True)
    issuer = Text(most=disclosures.MAX_ORDER_CHARACTERS, allow_none=True)
    scope = Text(most=disclosures.MAX_ORDER_CHARACTERS, allow_none=True)


class NewDisclosure(NewConcern):
    """A disclosure about a case that is there."""

    basis = Choice(*disclosures.BASES, required=True)


class NewConcernAnywhere(NewConcern):
    """A safeguarding disclosure with no case, or for one that is gone."""

    case_id = IdField(allow_none=True)


class DisclosureOut(ma.Schema):
    id = IdField(required=True)
    case_id = IdField(required=True)
    basis = Choice(disclosures.CONSENT, disclosures.LEGAL_DUTY, required=True)
    consent_id = IdField(required=True, allow_none=True, metadata={"description": "what allowed it at that moment"})
    party = IdField(required=True, allow_none=True)
    recipient = ma.fields.String(required=True)
    what = ma.fields.String(required=True)
    reason = ma.fields.String(required=True, allow_none=True)
    told_family = ma.fields.Boolean(required=True, allow_none=True)
    order = ma.fields.String(required=True, allow_none=True)
    issuer = ma.fields.String(required=True, allow_none=True)
    scope = ma.fields.String(required=True, allow_none=True)
    recorded_at = Moment(required=True)
    recorded_by = ma.fields.String(required=True)


class ConcernMade(ma.Schema):
    """The answer to the caller who records one: its number. The rest is for the lead."""

    id = IdField(required=True)
    basis = ma.fields.Constant(disclosures.SAFEGUARDING, required=True)
    recorded_at = Moment(required=True)


class ConcernOut(ma.Schema):
    """As the safeguarding lead and data protection see it."""

    id = IdField(required=True)
    case_id = IdField(required=True, allow_none=True, attribute="about")
    basis = ma.fields.Constant(disclosures.SAFEGUARDING, required=True)
    decision = Choice(*disclosures.DECISIONS, required=True)
    party = IdField(required=True, allow_none=True)
    recipient = ma.fields.String(required=True, allow_none=True)
    what = ma.fields.String(required=True)
    reason = ma.fields.String(required=True, allow_none=True)
    told_family = ma.fields.Boolean(required=True)
    order = ma.fields.String(required=True, allow_none=True)
    issuer = ma.fields.String(required=True, allow_none=True)
    scope = ma.fields.String(required=True, allow_none=True)
    recorded_at = Moment(required=True)
    recorded_by = ma.fields.String(required=True)
    state = Choice(*safeguarding.STATES, required=True)
    outcome = Choice(*safeguarding.OUTCOMES, required=True, allow_none=True)
    review = ma.fields.String(required=True, allow_none=True)
    reviewed_at = Moment(required=True, allow_none=True)
    reviewed_by = ma.fields.String(required=True, allow_none=True)
    hold_until = DayField(required=True, allow_none=True)
    hold_reason = ma.fields.String(required=True, allow_none=True)
    alerted_at = Moment(required=True, allow_none=True)


class DisclosurePage(ma.Schema):
    items = ma.fields.List(Either(DisclosureOut, ConcernOut), required=True)
    next = ma.fields.String(allow_none=True, required=True)
    note = ma.fields.String(required=True, metadata={"description": "the same words in every answer"})


class ConcernPage(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(ConcernOut), required=True)
    next = ma.fields.String(allow_none=True, required=True)


class ConcernQuery(PageArgs):
    state = Choice(*safeguarding.STATES, load_default=None)
    case_id = IdField(load_default=None)


class Review(Body):
    outcome = Choice(*safeguarding.OUTCOMES, required=True)
    words = Text(most=disclosures.MAX_REASON_CHARACTERS, required=True)
    reason = Text(most=disclosures.MAX_REASON_CHARACTERS, load_default=None, allow_none=True)
    told_family = FlagField(load_default=None, allow_none=True)


class ReviewMade(ma.Schema):
    id = IdField(required=True)
    state = Choice(*safeguarding.STATES, required=True)
    outcome = Choice(*safeguarding.OUTCOMES, required=True)


class NewHold(Body):
    until = DayField(required=True)
    reason = Text(most=disclosures.MAX_REASON_CHARACTERS, required=True)
