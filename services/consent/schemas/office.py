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
    id = IdField(required=True)
    case_id = IdField(required=True)
    kind = Choice(*t.Kind, required=True)
    subject_id = IdField(required=True, allow_none=True, metadata={"description": "the person or thing it is about"})
    due_on = DayField(required=True)
    state = Choice(*t.State, required=True)
    opened_at = Moment(required=True)
    done_at = Moment(required=True, allow_none=True)


class HelplineMonth(ma.Schema):
    month = ma.fields.String(required=True, metadata={"description": "YYYY-MM"})
    count = ma.fields.Integer(required=True)


class HelplineMonths(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(HelplineMonth), required=True)
    next = ma.fields.String(required=True, allow_none=True)


class OrganisationOut(ma.Schema):
    id = IdField(required=True)
    name = ma.fields.String(required=True)
    kind = Choice(*organisations.KINDS, required=True)


class StatementOut(ma.Schema):
    version = ma.fields.String(required=True)
    text = ma.fields.String(required=True)
    sha256 = ma.fields.String(required=True)


OrganisationPage = page_of(OrganisationOut, "OrganisationPage")
TaskPage = page_of(TaskOut, "TaskPage")
