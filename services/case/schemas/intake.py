"""What the consent service sends of an intake, and what it is answered."""

from __future__ import annotations

import marshmallow as ma

from services.case.model.cases import CHANNELS
from services.case.model.entries import MAX_TEXT_CHARACTERS
from services.case.schemas import CaseOut, EntryOut, PersonIn, PersonOut
from shared.events.consent import DOCUMENT_KINDS, PURPOSES
from shared.http import Body, Choice, IdField, Line, Moment, Text


class ComingPerson(PersonIn):
    id = IdField(required=True)


class ComingWish(Body):
    id = IdField(required=True)
    kind = Choice("wish")
    text = Text(most=MAX_TEXT_CHARACTERS, required=True)
    at = Moment(allow_none=True)


class Coming(Body):
    """People and wishes, each with the id that it will have. by: the member of staff who took them down; at: when."""

    people = ma.fields.List(ma.fields.Nested(ComingPerson), required=True)
    wishes = ma.fields.List(ma.fields.Nested(ComingWish), required=True)
    by = Line(required=True)
    at = Moment(required=True)


class ExpectIn(Coming):
    channel = Choice(*CHANNELS, required=True)


class Standing(Body):
    consent = IdField(required=True)
    purpose = Choice(*PURPOSES, required=True)
    party = IdField(required=True, allow_none=True)
    document_kind = Choice(*DOCUMENT_KINDS, required=True, allow_none=True)
    person = IdField(required=True, allow_none=True)
    until = Moment(required=True, allow_none=True)


class TakeIn(Coming):
    """standing, seq: what stands of the consents, as the event of that number says."""

    standing = ma.fields.List(ma.fields.Nested(Standing), required=True)
    seq = ma.fields.Integer(strict=True, required=True)


class ExpectedOut(ma.Schema):
    """The case as it will be; or `errors` alone, by field, and then nothing was made."""

    case = ma.fields.Nested(CaseOut, attribute="view")
    people = ma.fields.List(ma.fields.Nested(PersonOut), attribute="view.people")
    wishes = ma.fields.List(ma.fields.Nested(EntryOut))
    etag = ma.fields.String()
    errors = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.List(ma.fields.String()))
