"""A case, its people and entries as the case service shows them, for an intake's answer.

They are passed on as they come; tests/contracts/test_intake.py holds the two descriptions together.
"""

from __future__ import annotations

import marshmallow as ma

from services.consent.model import consents as c
from shared.events.case import ROLES, STATES
from shared.http import Choice, DayField, IdField, Moment

_YES_NO = ("yes", "no")
_POST = ("yes", "plain", "no")


class SafeContactOut(ma.Schema):
    post = Choice(*_POST, required=True, allow_none=True)
    email = Choice(*_YES_NO, required=True, allow_none=True)
    phone = Choice(*_YES_NO, required=True, allow_none=True)
    voicemail = Choice(*_YES_NO, required=True, allow_none=True)
    text = Choice(*_YES_NO, required=True, allow_none=True)
    asked_at = Moment(required=True, allow_none=True)


class ReachOut(ma.Schema):
    person_id = IdField(required=True)
    post = Choice(*_POST, required=True)
    email = Choice(*_YES_NO, required=True)


class PersonOut(ma.Schema):
    id = IdField(required=True)
    case_id = IdField(required=True)
    role = Choice(*ROLES, required=True)
    given_name = ma.fields.String(required=True)
    family_name = ma.fields.String(required=True)
    date_of_birth = DayField(required=True, allow_none=True)
    address = ma.fields.List(ma.fields.String(), required=True, allow_none=True)
    email = ma.fields.String(required=True, allow_none=True, metadata={"format": "idn-email"})
    phone = ma.fields.String(required=True, allow_none=True)
    parental_responsibility = ma.fields.Boolean(required=True, allow_none=True)
    preferred_channel = Choice("letter", "email", "phone", required=True, allow_none=True)
    formats = ma.fields.List(Choice("large_print", "easy_read"), required=True)
    safe_contact = ma.fields.Nested(SafeContactOut, required=True)
    kept_apart = ma.fields.Boolean(required=True)


class CaseOut(ma.Schema):
    id = IdField(required=True)
    reference = ma.fields.String(required=True)
    state = Choice(*STATES, required=True)
    frozen = ma.fields.Boolean(required=True)
    channel = Choice(*c.CHANNELS, required=True)
    created_at = Moment(required=True)
    expires_at = Moment(required=True, allow_none=True, metadata={"description": "of a shell; null once agreed to"})
    level = ma.fields.Integer(required=True, allow_none=True)
    people = ma.fields.List(ma.fields.Nested(PersonOut), required=True, metadata={"description": "in the order added"})
    reach = ma.fields.List(
        ma.fields.Nested(ReachOut), required=True, metadata={"description": "how each of them may be written to now"}
    )
    contact_stopped = ma.fields.Boolean(required=True, metadata={"description": "no one of the family is written to"})


class EntryOut(ma.Schema):
    id = IdField(required=True)
    case_id = IdField(required=True)
    kind = Choice("wish", "action", "outcome", "note", "meeting", required=True)
    text = ma.fields.String(required=True)
    at = Moment(required=True)
    recorded_at = Moment(required=True)
    recorded_by = ma.fields.String(required=True)
    corrects = IdField(required=True, allow_none=True)
    corrected_by = ma.fields.List(IdField(), required=True, metadata={"description": "oldest first"})
    level = ma.fields.Integer(required=True, allow_none=True)
    place = ma.fields.String(required=True, allow_none=True)
    papers = ma.fields.List(ma.fields.String(), required=True)
