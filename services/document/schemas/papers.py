"""Paper files over HTTP."""

from __future__ import annotations

import marshmallow as ma

from services.document.model.papers import METHODS, STATES
from shared.http import Body, Choice, IdField, Line, Moment, PageArgs, Text

_MOST_PAGES = 100_000


class PaperFileIn(Body):
    location = Line(most=200, required=True)
    description = Text(most=2_000, required=True)
    pages = ma.fields.Integer(strict=True, load_default=None, validate=ma.validate.Range(min=1, max=_MOST_PAGES))


class PaperFilePatch(Body):
    """What changes of a paper file."""

    location = Line(most=200)
    description = Text(most=2_000)


class PaperFileQuery(PageArgs):
    location = Line(most=200, load_default=None, metadata={"description": "part of it, whatever capitals and spaces"})
    state = Choice(*STATES, load_default=None)
    label = Line(most=40, load_default=None, metadata={"description": "the whole of it, such as P-0007"})


class CabinetMoveIn(Body):
    old = Line(most=200, required=True, data_key="from")
    new = Line(most=200, required=True, data_key="to")


class CabinetMoveOut(ma.Schema):
    id = IdField(required=True)
    moved = ma.fields.Integer(required=True, metadata={"description": "how many paper files"})


class MovementIn(Body):
    direction = Choice("out", "in", required=True)
    who = Line(most=200, required=True)
    reason = Text(most=2_000, load_default=None)


class DisposalIn(Body):
    method = Choice(*METHODS, required=True)
    by = Line(most=200, required=True)
    witnessed_by = Line(most=200, required=True)
    to = Line(most=200, load_default=None)
    reason = Text(most=2_000, load_default=None)


class MovementOut(ma.Schema):
    direction = Choice("out", "in", required=True)
    who = ma.fields.String(required=True)
    reason = ma.fields.String(required=True, allow_none=True)
    at = Moment(required=True)


class DisposalOut(ma.Schema):
    method = Choice(*METHODS, required=True)
    by = ma.fields.String(required=True)
    witnessed_by = ma.fields.String(required=True)
    to = ma.fields.String(required=True, allow_none=True)
    reason = ma.fields.String(required=True, allow_none=True)
    at = Moment(required=True)


class PaperFileOut(ma.Schema):
    """Once its case is erased, only what certifying it needs; once it is certified too, its id, state and time.

    A field that isn't kept any more is null: `movements` of an erased case are not known, which isn't the same as none.
    """

    id = IdField(required=True, attribute="paper.id")
    case_id = IdField(required=True, attribute="paper.case_id")
    label = ma.fields.String(required=True, attribute="paper.label", allow_none=True, dump_default=None)
    state = Choice(*STATES, required=True, attribute="paper.state")
    location = ma.fields.String(required=True, attribute="paper.location", allow_none=True, dump_default=None)
    description = ma.fields.String(required=True, attribute="paper.description", allow_none=True, dump_default=None)
    pages = ma.fields.Integer(required=True, attribute="paper.pages", allow_none=True, dump_default=None)
    out_with = ma.fields.String(required=True, attribute="paper.out_with", allow_none=True, dump_default=None)
    scanned = ma.fields.Function(lambda shown: bool(shown.scans), required=True, metadata={"type": "boolean"})
    scans = ma.fields.List(IdField(), required=True)
    registered_at = Moment(required=True, attribute="paper.at", allow_none=True, dump_default=None)
    disposed_at = Moment(required=True, attribute="paper.disposed_at", allow_none=True)
    movements = ma.fields.List(ma.fields.Nested(MovementOut), required=True, allow_none=True)
    disposal = ma.fields.Nested(
        DisposalOut, required=True, attribute="paper.disposal", allow_none=True, dump_default=None
    )


class PaperFilePage(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(PaperFileOut), required=True)
    next = ma.fields.String(required=True, allow_none=True)
