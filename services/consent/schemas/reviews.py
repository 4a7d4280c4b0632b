"""Annual reviews, and the clock."""

from __future__ import annotations

import marshmallow as ma

from services.consent.model import consents as c
from services.consent.model import reviews as v
from services.consent.schemas.pages import page_of
from shared.http import Body, Choice, DayField, IdField, Line, Moment, PageArgs


class ReviewsQuery(PageArgs):
    due_before = DayField()
    case_id = IdField()
    state = Choice(*v.State)


class AnswerIn(Body):
    decision = Choice(*v.Answer, required=True)
    channel = Choice(*c.CHANNELS, required=True)
    by = Line(most=200, required=True)


class ReviewOut(ma.Schema):
    id = IdField(required=True)
    case_id = IdField(required=True)
    person_id = IdField(
        required=True,
        allow_none=True,
        metadata={"description": "null: the consent names no person, and speaks for the first adult"},
    )
    consent_id = IdField(required=True, metadata={"description": "the consent to the file that the year counts from"})
    due_on = DayField(required=True)
    state = Choice(*v.State, required=True)
    round = ma.fields.Integer(
        required=True, metadata={"description": "how often it was begun anew, for another address"}
    )
    asked_at = Moment(required=True, allow_none=True)
    handed_at = Moment(required=True, allow_none=True, metadata={"description": "from when silence counts"})
    reminded_at = Moment(required=True, allow_none=True)
    reminder_handed_at = Moment(required=True, allow_none=True)
    returned_at = Moment(required=True, allow_none=True)
    decision = Choice(*v.Answer, required=True, allow_none=True)
    channel = Choice(*c.CHANNELS, required=True, allow_none=True)
    by = ma.fields.String(required=True, allow_none=True)
    answered_at = Moment(required=True, allow_none=True)
    request_id = IdField(required=True, allow_none=True, metadata={"description": "the erasure that was asked for"})


class ClockIn(Body):
    now = Moment()
    dry_run = ma.fields.Boolean(load_default=False)
    confirm = Line(most=200, metadata={"description": "whose name it is that lets a run go on"})


class CountsOut(ma.Schema):
    shells = ma.fields.Integer()
    letters = ma.fields.Integer()
    reminders = ma.fields.Integer()
    silences = ma.fields.Integer()
    expiries = ma.fields.Integer()
    rights = ma.fields.Integer()


class ClockOut(ma.Schema):
    now = Moment()
    counts = ma.fields.Nested(CountsOut)
    stopped = ma.fields.String(allow_none=True, metadata={"description": "behind, too_far or too_many"})


ReviewPage = page_of(ReviewOut, "ReviewPage")
