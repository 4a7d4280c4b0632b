"""Tasks: what a person of the office has to do about a case by a day. Nothing that a person said is in them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


class Kind(StrEnum):
    """What there is to do."""

    #: Ask the young person, or record who decides for them, by the day on which rights pass.
    RIGHTS_PASS = "rights_pass"  # noqa: S105 - no password
    #: Ask for the date of birth of a child or young person.
    NO_DATE_OF_BIRTH = "no_date_of_birth"
    #: Review the file of a person who turns 25 this month.
    TURNS_25 = "turns_25"
    #: The last consent to the file has run out: ask again, or erase.
    CONSENT_EXPIRED = "consent_expired"
    #: A review letter, or an email, came back: find out where this person is to be written to.
    RETURNED_POST = "returned_post"
    #: The review's time is over, but there has been work with the family: ask them by phone.
    ASK_BY_PHONE = "ask_by_phone"
    #: This person can't be written to about their review, or refused every way to be reached: call them.
    CALL = "call"
    #: No font has a character of this letter: correct the name or address, agree on email, or write by hand.
    LETTER_NOT_PRINTABLE = "letter_not_printable"
    #: This document is in quarantine: ask for consent, release it, return it, or delete it.
    QUARANTINED_DOCUMENT = "quarantined_document"


class State(StrEnum):
    OPEN = "open"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One thing to do. subject_id: the person, consent, review, letter or document it is about, where it is about one.

    done_by: the `sub` of the member of staff who did it; None also where it settled itself.
    """

    id: str
    case_id: str
    kind: Kind
    subject_id: str | None
    due_on: date
    state: State
    opened_at: datetime
    done_at: datetime | None = None
    done_by: str | None = None
    version: int = 1
