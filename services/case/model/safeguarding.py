"""Safeguarding: a disclosure, or a decision against one, because a person is at risk (P15). It is never refused."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Final

from shared.errors import Conflict, Forbidden, Invalid

OPEN, REVIEWED = "open", "reviewed"
STATES: Final = (OPEN, REVIEWED)
JUSTIFIED, NOT_JUSTIFIED = "justified", "not_justified"
OUTCOMES: Final = (JUSTIFIED, NOT_JUSTIFIED)
#: What the name of a record's key begins with.
KEY_PREFIX: Final = "safeguarding:"
#: How long an alert may take before the operator is alerted.
ALERT_WITHIN: Final = timedelta(minutes=5)
#: Part of every list and package, whether or not there is a record: its absence would say that there is none.
NEUTRAL_SENTENCE: Final = (
    "If something is told to others because a person is at risk, that is recorded apart from the case. "
    "Whether there is any such record is never said here."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """One disclosure for safeguarding, or one decision not to make it.

    about: the case, if there is or was one. about_hash: what it is found by (`hash_of_case`). decision: shared, or
    not_shared. party: the recipient's id where known. order, issuer, scope: kept if they were given, never required.
    """

    id: str
    about: str | None
    decision: str
    told_family: bool
    recorded_at: datetime
    recorded_by: str
    state: str = OPEN
    reviewed_at: datetime | None = None
    reviewed_by: str | None = None
    outcome: str | None = None
    hold_until: date | None = None
    alerted_at: datetime | None = None
    about_hash: str | None = None
    version: int = 0
    recipient: str | None = field(repr=False)
    what: str = field(repr=False)
    reason: str | None = field(default=None, repr=False)
    party: str | None = field(default=None, repr=False)
    order: str | None = field(default=None, repr=False)
    issuer: str | None = field(default=None, repr=False)
    scope: str | None = field(default=None, repr=False)
    review: str | None = field(default=None, repr=False)
    hold_reason: str | None = field(default=None, repr=False)


def key_of(id: str) -> str:
    """The name of the key that this one record is sealed under; no case's key opens it."""
    return f"{KEY_PREFIX}{id}"


def hash_of_case(case_id: str, *, search_key: bytes) -> str:
    """What a record about this case is found by, in hex, under the search key of the record's own key."""
    return hmac.digest(search_key, b"safeguarding:" + case_id.encode(), "sha256").hex()


def reviewed(
    concern: Concern,
    *,
    outcome: str,
    words: str,
    reason: str | None,
    told_family: bool | None,
    by: str,
    now: datetime,
) -> Concern:
    """The record, reviewed by a second person.

    Raises Forbidden for the one who recorded it, Conflict when it was reviewed before, Invalid while it has no reason.
    """
    if by == concern.recorded_by:
        raise Forbidden("You recorded this yourself: a second person reviews it. Nothing was changed.")
    if concern.state == REVIEWED:
        raise Conflict("This was reviewed before. Nothing was changed.")
    if concern.reason is None and reason is None:
        raise Invalid(
            "The reason was left out when this was recorded. Ask for it, and send it with the review. "
            "Nothing was changed.",
            errors={"reason": ["The person who recorded it gave none."]},
        )
    return replace(
        concern,
        state=REVIEWED,
        outcome=outcome,
        review=words,
        reason=concern.reason if reason is None else reason,
        told_family=concern.told_family if told_family is None else told_family,
        reviewed_by=by,
        reviewed_at=now,
    )


def with_hold(concern: Concern, *, until: date, reason: str, today: date) -> Concern:
    """The record, kept at least until that day, inclusive. Raises Invalid for a day that is over."""
    if until < today:
        raise Invalid(
            "A hold ends today at the earliest. Nothing was changed.", errors={"until": ["This day is over."]}
        )
    return replace(concern, hold_until=until, hold_reason=reason)


def without_hold(concern: Concern) -> Concern:
    """The record without its hold. Raises Conflict when there is none."""
    if concern.hold_until is None:
        raise Conflict("There is no hold on this. Nothing was changed.")
    return replace(concern, hold_until=None, hold_reason=None)
