"""`GET /v1/changes`: ids, kinds and times of what changed in a service, so that an app needn't poll every case."""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from collections.abc import Collection, Mapping
from typing import Any, Final

import marshmallow as ma
from bson.timestamp import Timestamp

from shared.db.change_feed import BEGINNING, Change, ChangeFeed, Place, RestoredSince
from shared.db.changes import What
from shared.errors import Invalid, StartAgain
from shared.http.fields import IdField, Moment
from shared.http.kernel import current_caller, current_kernel, nothing_shown
from shared.http.responses import MOST_ON_A_PAGE
from shared.http.routes import Blueprint, allow
from shared.security.authentication import Caller

#: Instead of a cursor: not what there is already.
NOW: Final = "now"
# Service (a checksum of its name), generation of the data, at, again.
_CURSOR: Final = struct.Struct(">IQQQ")
_RESTORED: Final = (
    "A backup was restored since this cursor was given. Drop what you have and read again without `after`. Nothing was "
    "changed."
)


class ChangesQuery(ma.Schema):
    class Meta:
        unknown = ma.RAISE

    limit = ma.fields.Integer(load_default=50, validate=ma.validate.Range(min=1, max=MOST_ON_A_PAGE))
    after = ma.fields.String(
        load_default=None,
        metadata={
            "description": "`next` of the answer before; without it from the beginning. `now`: only what changes from "
            "now on (and in the last minute)."
        },
    )


class ChangeOut(ma.Schema):
    id = IdField(required=True, metadata={"description": "of the record that `kind` names; of a case its own"})
    kind = ma.fields.String(required=True)
    case_id = IdField(required=True, allow_none=True)
    at = Moment(required=True, metadata={"description": "by the database's clock, to the second"})
    what = ma.fields.String(
        required=True,
        validate=ma.validate.OneOf(list(What)),
        metadata={"description": "what was done last; `erased`: drop everything that you have of the case"},
    )


class ChangesPage(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(ChangeOut), required=True)
    next = ma.fields.String(required=True, metadata={"description": "`after` of the next request; never null"})


def changes_routes(feed: ChangeFeed, readers: Mapping[str, Collection[str]]) -> Blueprint:
    """The route that every service has under /v1.

    readers: by kind, the roles that may read such records. Raises ValueError unless these are the feed's kinds.
    """
    if wrong := feed.kinds ^ set(readers):
        raise ValueError(f"who is told of these changes isn't said, or there are none: {', '.join(sorted(wrong))}")
    blp = Blueprint("changes", description="What changed since, for apps that keep a copy of what they show.")

    @blp.route("/changes")
    @allow(*sorted({role for roles in readers.values() for role in roles}))
    @blp.arguments(ChangesQuery, location="query")
    @blp.response(200, ChangesPage)
    def read_changes(query: Mapping[str, Any]) -> dict[str, Any]:
        """What changed after that cursor, oldest first, as kinds of records that the caller's roles may read.

        Nothing is missed, and what is recent is told again: read each record that is named, and then ask with `next`. A
        record that changed several times is told of once, with its last change. An answer may be empty; ask again.
        """
        service, caller = current_kernel().service, current_caller()
        if query["after"] == NOW:
            changes: list[Change] = []
            place = feed.now()
        else:
            kinds = {kind for kind, roles in readers.items() if caller.roles & set(roles)}
            after = None if query["after"] is None else place_in(query["after"], service)
            try:
                changes, place = feed.read(after, kinds, limit=query["limit"])
            except RestoredSince as error:
                raise StartAgain(_RESTORED) from error
        seen = seen_by(caller, {change.case_id for change in changes if change.case_id is not None})
        items = [_shown(change) for change in changes if change.case_id is None or change.case_id in seen]
        if not items:
            nothing_shown()
        return {"items": items, "next": cursor_of(place, service)}

    return blp


def seen_by(caller: Caller, case_ids: Collection[str]) -> frozenset[str]:
    """Those of these cases that the caller may see. A role decides it alone; access lists of cases belong here."""
    return frozenset(case_ids)


def cursor_of(place: Place, service: str) -> str:
    """The place as opaque text, for this service alone."""
    packed = _CURSOR.pack(_checksum(service), place.generation, _number(place.at), _number(place.again))
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def place_in(cursor: str, service: str) -> Place:
    """The place that `cursor_of` wrote. Raises Invalid for any other text, and for another service's cursor."""
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        checksum, generation, at, again = _CURSOR.unpack(packed)
    except (binascii.Error, ValueError, struct.error) as error:
        raise _bad_cursor() from error
    if checksum != _checksum(service):
        raise _bad_cursor()
    return Place(generation=generation, at=_timestamp(at), again=_timestamp(again))


def _shown(change: Change) -> dict[str, Any]:
    return {
        "id": change.id,
        "kind": change.kind,
        "case_id": change.case_id,
        "at": change.at,
        "what": change.what.value,
    }


def _checksum(service: str) -> int:
    return zlib.crc32(service.encode())


def _number(moment: Timestamp) -> int:
    return (moment.time << 32) | moment.inc


def _timestamp(number: int) -> Timestamp:
    return Timestamp(number >> 32, number & 0xFFFF_FFFF) if number else BEGINNING


def _bad_cursor() -> Invalid:
    said = "This isn't a cursor that this service gave. Read again without it."
    return Invalid("The query doesn't fit the contract. Nothing was changed.", errors={"after": [said]})
