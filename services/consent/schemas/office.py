"""Organisations, the statement, tasks, the helpline's tally."""

from __future__ import annotations

import marshmallow as ma

from services.consent.model import organisations
from services.consent.model import tasks as t
from services.consent.schemas.pages import page_of
from shared.http import Body, Choice, DayField, IdField, Line, Moment, PageArgs


class OrganisationIn(Body):
    name = Line(most=200, required=True)
    kind = Choice(*organisations.KINDS, required=True)


class NamingIn(Body):
    case_id = IdField(required=True)


class EndingGrant(ma.Schema):
    grant = ma.fields.String(required=True, metadata={"description": "a compact JWS"})


class TasksQuery(PageArgs):
    case_id = IdField()
    state = Choice(*t.State)
    due_before = DayField()


class TaskOut(ma.Schema):
    id = ma.fields.String()
    case_id = ma.fields.String()
    kind = ma.fields.String()
    subject_id = ma.fields.String(allow_none=True, metadata={"description": "the person or thing it is about"})
    due_on = DayField()
    state = ma.fields.String()
    opened_at = Moment()
    done_at = Moment(allow_none=True)


class HelplineMonth(ma.Schema):
    month = ma.fields.String(metadata={"description": "YYYY-MM"})
    count = ma.fields.Integer()


class HelplineMonths(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(HelplineMonth))
    next = ma.fields.String(allow_none=True)


class OrganisationOut(ma.Schema):
    id = ma.fields.String()
    name = ma.fields.String()
    kind = ma.fields.String()


class StatementOut(ma.Schema):
    version = ma.fields.String()
    text = ma.fields.String()
    sha256 = ma.fields.String()


OrganisationPage = page_of(OrganisationOut, "OrganisationPage")
TaskPage = page_of(TaskOut, "TaskPage")
