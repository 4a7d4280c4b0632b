"""The bodies of the case service: what callers send, and what they are answered."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from services.case.model.cases import CHANNELS, LEVELS, SETTABLE
from services.case.model.entries import KINDS, MAX_PAPERS, MAX_TEXT_CHARACTERS
from services.case.model.people import FORMATS, MAX_NAME_CHARACTERS, PREFERRED_CHANNELS
from services.case.model.safe_contact import POST, RESTORED, STOPS, YES_NO
from services.case.model.search import Criterion
from shared.emails import MAX_CHARACTERS as MAX_EMAIL_CHARACTERS
from shared.events.case import ROLES, STATES
from shared.http import Body, Choice, DayField, FlagField, IdField, Line, Moment, PageArgs, Text
from shared.uk.phones import MAX_CHARACTERS as MAX_PHONE_CHARACTERS

# Before tidying, which may join or drop lines; the address itself says what is wrong with it.
_MAX_RAW_LINES = 20
_MAX_RAW_LINE_CHARACTERS = 200
_EXACTLY_ONE = "Search by exactly one of reference, family_name with date_of_birth, postcode, email and phone."


class NewCase(Body):
    channel = Choice(*CHANNELS, required=True, metadata={"description": "how it reached the office"})


class NewState(Body):
    state = Choice(*SETTABLE, required=True)


class Ending(Body):
    grant = ma.fields.String(required=True, metadata={"description": "the consent service's signature"})


class CaseQuery(PageArgs):
    state = Choice(*STATES, load_default=None)


class PersonIn(Body):
    """A new person. An optional field may be left out or null."""

    role = Choice(*ROLES, required=True)
    given_name = Line(most=MAX_NAME_CHARACTERS, required=True)
    family_name = Line(most=MAX_NAME_CHARACTERS, required=True)
    date_of_birth = DayField(allow_none=True)
    address = ma.fields.List(
        ma.fields.String(validate=ma.validate.Length(max=_MAX_RAW_LINE_CHARACTERS)),
        allow_none=True,
        validate=ma.validate.Length(max=_MAX_RAW_LINES),
        metadata={"description": "3 to 7 lines, the last a UK postcode or a BFPO number"},
    )
    email = Line(most=MAX_EMAIL_CHARACTERS, allow_none=True, metadata={"format": "idn-email"})
    phone = Line(most=MAX_PHONE_CHARACTERS, allow_none=True)
    parental_responsibility = FlagField(allow_none=True)
    preferred_channel = Choice(*PREFERRED_CHANNELS, allow_none=True)
    formats = ma.fields.List(Choice(*FORMATS), allow_none=True, validate=ma.validate.Length(max=2 * len(FORMATS)))
    kept_apart = FlagField(metadata={"description": "a competent child or young person of whom others are not told"})


class PersonPatch(PersonIn):
    """What changes of a person; null empties an optional field."""

    role = Choice(*ROLES)
    given_name = Line(most=MAX_NAME_CHARACTERS)
    family_name = Line(most=MAX_NAME_CHARACTERS)


class SafeContactIn(Body):
    """What a person said of each way; one that is left out or null was not asked about, and isn't used."""

    post = Choice(*POST, allow_none=True, metadata={"description": "plain: no envelope or window names a service"})
    email = Choice(*YES_NO, allow_none=True)
    phone = Choice(*YES_NO, allow_none=True)
    voicemail = Choice(*YES_NO, allow_none=True)
    text = Choice(*YES_NO, allow_none=True)
    asked_at = Moment(load_default=None, allow_none=True, metadata={"description": "now by default"})


class SafeContactOut(ma.Schema):
    post = Choice(*POST, required=True, allow_none=True)
    email = Choice(*YES_NO, required=True, allow_none=True)
    phone = Choice(*YES_NO, required=True, allow_none=True)
    voicemail = Choice(*YES_NO, required=True, allow_none=True)
    text = Choice(*YES_NO, required=True, allow_none=True)
    asked_at = Moment(required=True, allow_none=True)


class StopIn(Body):
    reason = Choice(*STOPS, required=True)
    words = Text(most=2_000, load_default=None, allow_none=True)


class StopOut(ma.Schema):
    reason = Choice(*STOPS, RESTORED, required=True, metadata={"description": "restored: until it is asked anew"})
    words = ma.fields.String(required=True, allow_none=True)
    by = ma.fields.String(required=True)
    at = Moment(required=True)


class ReachOut(ma.Schema):
    person_id = IdField(required=True)
    post = Choice(*POST, required=True)
    email = Choice(*YES_NO, required=True)


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
    preferred_channel = Choice(*PREFERRED_CHANNELS, required=True, allow_none=True)
    formats = ma.fields.List(Choice(*FORMATS), required=True)
    safe_contact = ma.fields.Nested(SafeContactOut, required=True)
    kept_apart = ma.fields.Boolean(required=True)


class PeoplePage(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(PersonOut), required=True)
    next = ma.fields.String(allow_none=True, required=True)


class CaseOut(ma.Schema):
    id = IdField(required=True, attribute="case.id")
    reference = ma.fields.String(required=True, attribute="case.reference")
    state = Choice(*STATES, required=True, attribute="case.state")
    frozen = ma.fields.Boolean(required=True)
    channel = Choice(*CHANNELS, required=True, attribute="case.channel")
    created_at = Moment(required=True, attribute="case.created_at")
    expires_at = Moment(
        required=True,
        allow_none=True,
        attribute="case.expires_at",
        metadata={"description": "of a shell; null once agreed to"},
    )
    level = ma.fields.Integer(required=True, allow_none=True, attribute="case.level")
    people = ma.fields.List(ma.fields.Nested(PersonOut), required=True, metadata={"description": "in the order added"})
    reach = ma.fields.List(
        ma.fields.Nested(ReachOut), required=True, metadata={"description": "how each of them may be written to now"}
    )
    contact_stopped = ma.fields.Boolean(required=True, metadata={"description": "no one of the family is written to"})


class CasePage(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(CaseOut), required=True)
    next = ma.fields.String(allow_none=True, required=True)


class NewEntry(Body):
    kind = Choice(*KINDS, required=True)
    text = Text(most=MAX_TEXT_CHARACTERS, required=True)
    at = Moment(load_default=None, allow_none=True, metadata={"description": "when it happened; now by default"})
    corrects = IdField(load_default=None, allow_none=True, metadata={"description": "an entry of the same case"})
    level = ma.fields.Integer(
        strict=True,
        load_default=None,
        allow_none=True,
        validate=ma.validate.OneOf(LEVELS),
        metadata={"description": "the level of work from here on, 1 to 4; a manager's"},
    )
    place = Line(load_default=None, allow_none=True, metadata={"description": "where a meeting is"})
    papers = ma.fields.List(
        Line(),
        load_default=(),
        validate=ma.validate.Length(max=MAX_PAPERS),
        metadata={"description": "what a meeting needs on the table"},
    )


class EntryOut(ma.Schema):
    id = IdField(required=True, attribute="entry.id")
    case_id = IdField(required=True, attribute="entry.case_id")
    kind = Choice(*KINDS, required=True, attribute="entry.kind")
    text = ma.fields.String(required=True, attribute="entry.text")
    at = Moment(required=True, attribute="entry.happened_at")
    recorded_at = Moment(required=True, attribute="entry.recorded_at")
    recorded_by = ma.fields.String(required=True, attribute="entry.recorded_by")
    corrects = IdField(required=True, allow_none=True, attribute="entry.corrects")
    corrected_by = ma.fields.List(IdField(), required=True, metadata={"description": "oldest first"})
    level = ma.fields.Integer(required=True, allow_none=True, attribute="entry.level")
    place = ma.fields.String(required=True, allow_none=True, attribute="entry.place")
    papers = ma.fields.List(ma.fields.String(), required=True, attribute="entry.papers")


class EntryPage(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(EntryOut), required=True)
    next = ma.fields.String(allow_none=True, required=True)


class Search(Body):
    """Exactly one criterion; a family name goes with a date of birth, and only with it."""

    reference = Line(most=40)
    family_name = Line(most=MAX_NAME_CHARACTERS)
    date_of_birth = DayField()
    postcode = Line(most=40)
    email = Line(most=MAX_EMAIL_CHARACTERS)
    phone = Line(most=MAX_PHONE_CHARACTERS)

    @ma.validates_schema(skip_on_field_errors=True)
    def one_criterion(self, data: dict[str, Any], **_: Any) -> None:
        given = set(data) - {"date_of_birth"}
        if len(given) != 1 or ("family_name" in given) != ("date_of_birth" in data):
            raise ma.ValidationError(_EXACTLY_ONE)


class FoundOut(ma.Schema):
    case_id = IdField(required=True)
    reference = ma.fields.String(required=True)
    state = Choice(*STATES, required=True)
    matched = Choice("reference", *Criterion, required=True, metadata={"description": "what it was found by"})
    kept_apart = ma.fields.Boolean(
        metadata={"description": "there and true: a person is kept apart; don't tell others that the case exists"},
    )

    @ma.post_dump
    def only_where_so(self, shown: dict[str, Any], **_: Any) -> dict[str, Any]:
        return shown if shown["kept_apart"] else {k: v for k, v in shown.items() if k != "kept_apart"}


class FoundItems(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(FoundOut), required=True)
