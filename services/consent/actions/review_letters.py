"""What became of the letters of a review: handed over, failed, or come back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from services.consent.actions.clock_time import clock_time
from services.consent.actions.tasks import open_review_task, settle_task
from services.consent.model import reviews as v
from services.consent.model.reviews import Letter, Review, State, Windows
from services.consent.model.tasks import Kind
from services.consent.store import Stores
from shared.db.unit_of_work import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterReport:
    """What the notifier says of one letter of a review. at: when it was handed over, failed or came back."""

    review_id: str
    letter: Letter
    round: int
    at: datetime


def letter_report(data: Mapping[str, Any]) -> LetterReport:
    """The report that an event carries."""
    return LetterReport(
        review_id=str(data["review"]),
        letter=Letter(data["letter"]),
        round=int(data["round"]),
        at=datetime.fromisoformat(data["at"]),
    )


def record_hand_over(stores: Stores, tx: Tx, windows: Windows, *, case_id: str, report: LetterReport) -> None:
    """A letter of this round has gone: from now on silence may count."""
    review = _reviewed_in(stores, tx, case_id, report)
    if review is None:
        return
    if report.letter is Letter.REVIEW and review.handed_at is None and review.asked_at is not None:
        review = replace(review, handed_at=v.counts_from(report.at, asked_at=review.asked_at))
    elif report.letter is Letter.REMINDER and review.reminder_handed_at is None and review.reminded_at is not None:
        review = replace(review, reminder_handed_at=v.counts_from(report.at, asked_at=review.reminded_at))
    else:
        return
    # It was thought to have failed, by another process than the one that handed it over after all.
    review = replace(review, unreached=False, next_at=None)
    settle_task(stores, tx, case_id=case_id, kind=Kind.CALL, subject_id=review.id)
    stores.reviews.save(replace(review, next_at=v.looked_at(review, windows=windows)), tx=tx)


def record_failure(stores: Stores, tx: Tx, *, case_id: str, report: LetterReport) -> None:
    """A letter won't go, or it isn't known whether it has: the office calls, and silence doesn't count.

    One that is known to be handed over had failed before that: the report is late.
    """
    review = _reviewed_in(stores, tx, case_id, report)
    if review is None:
        return
    known = review.handed_at if report.letter is Letter.REVIEW else review.reminder_handed_at
    if known is not None:
        return
    open_review_task(stores, tx, review, Kind.CALL)
    stores.reviews.save(replace(review, unreached=True, next_at=None), tx=tx)


def record_return(stores: Stores, tx: Tx, windows: Windows, *, case_id: str, report: LetterReport) -> None:
    """A letter came back: a task, and silence counts from a second address, or in another 28 days (P21)."""
    review = _reviewed_in(stores, tx, case_id, report)
    if review is None or review.returned_at is not None:
        return
    returned = replace(review, returned_at=max(report.at, clock_time(stores, tx.now, tx)))
    open_review_task(stores, tx, returned, Kind.RETURNED_POST)
    next_at = v.looked_at(replace(returned, next_at=None), windows=windows)
    stores.reviews.save(replace(returned, next_at=next_at), tx=tx)


def _reviewed_in(stores: Stores, tx: Tx, case_id: str, report: LetterReport) -> Review | None:
    """The review, if it still waits for what this round leads to."""
    tx.enter(case_id, frozen_too=True)
    review = stores.reviews.get(report.review_id, tx=tx)
    if review is None or review.state is not State.ASKED or review.round != report.round:
        return None
    return review
