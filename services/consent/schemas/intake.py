"""The body of an intake: a case, its consent, people and wishes, each in the words of its own route.

The case service's own schemas read people and wishes again; tests/contracts/test_intake.py holds the two together.
"""

from __future__ import annotations

import marshmallow as ma

from services.consent.model import consents as c
from services.consent.schemas.case_shown import CaseOut, EntryOut, PersonOut
from services.consent.schemas.consents import ConsentOut, Incapacity, LimitedPurpose
from shared.events.case import ROLES
from shared.http import Body, Choice, DayField, Either, FlagField, IdField, Line, Moment, Text
from shared.uk.phones import MAX_CHARACTERS as MAX_PHONE_CHARACTERS

_MOST_PEOPLE = 20
_MOST_WISHES = 20


class IntakeCase(Body):
    channel = Choice(*c.CHANNELS, required=True, metadata={"description": "how it reached the office"})


class IntakeGivenBy(Body):
    """As of a consent; no person has an id yet, so `person` says which of `people` it is, counted from 0."""

    name = Line(most=200, required=True)
    person = ma.fields.Integer(strict=True, validate=ma.validate.Range(min=0, max=_MOST_PEOPLE - 1))
    capacity = Choice(*c.CAPACITIES, required=True)
    basis = Text(
        most=2_000, metadata={"description": "of `other`; of `child`, how their competence was judged, and by whom"}
    )
    for_person = ma.fields.Integer(
        strict=True,
        validate=ma.validate.Range(min=0, max=_MOST_PEOPLE - 1),
        metadata={"description": "the young person for whom another person decides, counted from 0"},
    )
    incapacity = ma.fields.Nested(Incapacity, metadata={"description": "with `for_person`, in capacity `other`"})


class IntakeConsent(Body):
    """As `POST /v1/consents`, but for what there can't be yet: a case, a document that shows it."""

    decision = Choice("given")
    given_by = ma.fields.Nested(IntakeGivenBy, required=True)
    channel = Choice(*c.CHANNELS, required=True)
    informed_at = Moment(required=True)
    given_at = Moment(required=True)
    statement_version = Line(most=20, required=True)
    purposes = ma.fields.List(
        ma.fields.Nested(LimitedPurpose), required=True, validate=ma.validate.Length(min=1, max=100)
    )
    until = DayField(allow_none=True, metadata={"description": "for every purpose, unless one ends earlier"})


class IntakePerson(Body):
    """As `POST /v1/cases/{id}/people`."""

    role = Choice(*ROLES, required=True)
    given_name = Line(most=200, required=True)
    family_name = Line(most=200, required=True)
    date_of_birth = DayField(allow_none=True)
    address = ma.fields.List(
        ma.fields.String(validate=ma.validate.Length(max=200)),
        allow_none=True,
        validate=ma.validate.Length(max=20),
        metadata={"description": "3 to 7 lines, the last a UK postcode or a BFPO number"},
    )
    email = Line(most=254, allow_none=True, metadata={"format": "idn-email"})
    phone = Line(most=MAX_PHONE_CHARACTERS, allow_none=True)
    parental_responsibility = FlagField(allow_none=True)
    preferred_channel = Choice("letter", "email", "phone", allow_none=True)
    formats = ma.fields.List(Choice("large_print", "easy_read"), allow_none=True, validate=ma.validate.Length(max=4))
    kept_apart = FlagField(
        metadata={"description": "a competent child or young person: hidden from the other people of the case"}
    )


class IntakeWish(Body):
    """As `POST /v1/cases/{id}/entries` of kind wish."""

    kind = Choice("wish")
    text = Text(most=20_000, required=True)
    at = Moment(allow_none=True, metadata={"description": "when it was said; now by default"})


class IntakeIn(Body):
    case = ma.fields.Nested(IntakeCase, required=True)
    consent = ma.fields.Nested(IntakeConsent, required=True)
    people = ma.fields.List(
        ma.fields.Nested(IntakePerson), required=True, validate=ma.validate.Length(min=1, max=_MOST_PEOPLE)
    )
    wishes = ma.fields.List(ma.fields.Nested(IntakeWish), validate=ma.validate.Length(max=_MOST_WISHES))


class IntakeOut(ma.Schema):
    id = IdField(required=True, attribute="given.case_id", metadata={"description": "the case's"})
    case = Either(CaseOut, required=True)
    consent = ma.fields.Nested(ConsentOut, required=True, attribute="given")
    people = ma.fields.List(Either(PersonOut), required=True, metadata={"description": "in the order sent"})
    wishes = ma.fields.List(Either(EntryOut), required=True)
