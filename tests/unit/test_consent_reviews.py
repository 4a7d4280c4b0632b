"""The annual review's dates and steps, for every day of a leap and a common year."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from services.consent.model import clock
from services.consent.model.clock import Counts, Stopped
from services.consent.model.reviews import (
    Circumstances,
    Do,
    Due,
    Review,
    State,
    Windows,
    a_year_after,
    begins_at,
    counts_from,
    due,
    expires_at,
    looked_at,
    next_step,
)
from shared.ids import new_id

WINDOWS = Windows()
T0 = datetime(2027, 3, 1, 9, tzinfo=UTC)
DAY = timedelta(days=1)
HERE = Circumstances(ways="a")
CASE, CONSENT = new_id(), new_id()


def days_of(year: int) -> list[date]:
    return [date(year, 1, 1) + timedelta(days=n) for n in range((date(year + 1, 1, 1) - date(year, 1, 1)).days)]


def a_review(**more: object) -> Review:
    start = Review(id=new_id(), case_id=CASE, consent_id=CONSENT, person_id=None, due_on=date(2027, 3, 1))
    return replace(start, **more)  # type: ignore[arg-type]


def asked(**more: object) -> Review:
    """Written to and handed over at T0."""
    return a_review(**{"state": State.ASKED, "asked_at": T0, "handed_at": T0, "ways": "a", **more})


def reminded(**more: object) -> Review:
    return asked(**{"reminded_at": T0 + 14 * DAY, "reminder_handed_at": T0 + 14 * DAY, **more})


@pytest.mark.parametrize("day", [*days_of(2024), *days_of(2027)])
def test_a_review_is_due_on_the_same_day_a_year_on(day: date) -> None:
    # Reckoned apart from the model: the same month and day, but for the 29th of February
    expected = (day.year + 1, 2, 28) if (day.month, day.day) == (2, 29) else (day.year + 1, day.month, day.day)
    found = a_year_after(day)
    assert (found.year, found.month, found.day) == expected
    review = a_review(due_on=found)
    # From the first moment of that day in London, whatever the clocks there say, and not before
    assert due(review, now=begins_at(found), windows=WINDOWS) is Due.WRITE
    assert due(review, now=begins_at(found) - timedelta(milliseconds=1), windows=WINDOWS) is None


def test_a_letter_is_reminded_of_at_14_days_and_silence_counts_at_28() -> None:
    assert next_step(a_review(), HERE, now=T0, windows=WINDOWS).do is Do.WRITE
    assert looked_at(asked(), windows=WINDOWS) == T0 + 14 * DAY
    assert next_step(asked(), HERE, now=T0 + 14 * DAY, windows=WINDOWS).do is Do.REMIND
    assert next_step(asked(), HERE, now=T0 + 14 * DAY - DAY, windows=WINDOWS).do is Do.WAIT
    assert expires_at(reminded(), WINDOWS) == T0 + 28 * DAY
    assert next_step(reminded(), HERE, now=T0 + 28 * DAY, windows=WINDOWS).do is Do.EXPIRE
    assert next_step(reminded(), HERE, now=T0 + 28 * DAY - DAY, windows=WINDOWS).do is Do.WAIT


def test_silence_counts_only_from_what_was_handed_over() -> None:
    late = T0 + 1000 * DAY
    assert next_step(asked(handed_at=None), HERE, now=late, windows=WINDOWS).do is Do.WAIT
    # A reminder that wasn't handed over is waited for too
    assert expires_at(asked(reminded_at=T0 + 14 * DAY), WINDOWS) is None
    assert next_step(asked(reminded_at=T0 + 14 * DAY), HERE, now=late, windows=WINDOWS).do is Do.WAIT
    assert next_step(reminded(unreached=True), HERE, now=late, windows=WINDOWS).do is Do.WAIT


def test_each_window_is_full_after_an_outage() -> None:
    # The reminder went a week late, so it is waited for a week longer
    late = reminded(reminded_at=T0 + 21 * DAY, reminder_handed_at=T0 + 21 * DAY)
    assert expires_at(late, WINDOWS) == T0 + 35 * DAY
    assert counts_from(T0 - 365 * DAY, asked_at=T0) == T0
    assert counts_from(T0 + DAY, asked_at=T0) == T0 + DAY
    short = Windows(window=timedelta(days=10), reminder=timedelta(days=3))
    assert expires_at(reminded(reminder_handed_at=T0 + 3 * DAY), short) == T0 + 10 * DAY


def test_a_reminder_must_come_before_the_end() -> None:
    with pytest.raises(ValueError, match="reminder"):
        Windows(window=timedelta(days=14), reminder=timedelta(days=14))


def test_post_that_came_back_waits_for_a_second_address_or_28_more_days() -> None:
    back = asked(returned_at=T0 + 5 * DAY)
    assert next_step(back, HERE, now=T0 + 28 * DAY, windows=WINDOWS).do is Do.WAIT
    # Whenever it came back, 28 days more than anyone has; later than that only for what came back after the end
    assert expires_at(back, WINDOWS) == expires_at(asked(returned_at=T0), WINDOWS) == T0 + 56 * DAY
    assert expires_at(reminded(returned_at=T0 + 20 * DAY), WINDOWS) == T0 + 56 * DAY
    assert expires_at(reminded(returned_at=T0 + 30 * DAY), WINDOWS) == T0 + 58 * DAY
    assert next_step(back, HERE, now=T0 + 56 * DAY - DAY, windows=WINDOWS).do is Do.WAIT
    assert next_step(back, HERE, now=T0 + 56 * DAY, windows=WINDOWS).do is Do.EXPIRE
    # It isn't reminded of at the address that it came back from
    assert next_step(back, HERE, now=T0 + 14 * DAY, windows=WINDOWS).do is Do.WAIT
    assert next_step(back, Circumstances(ways="b"), now=T0 + 6 * DAY, windows=WINDOWS).do is Do.WRITE
    # Another address of somebody who was reached changes nothing
    assert next_step(asked(), Circumstances(ways="b"), now=T0 + 6 * DAY, windows=WINDOWS).do is Do.WAIT


def test_whoever_can_t_be_reached_is_called_and_their_silence_never_counts() -> None:
    nobody = Circumstances(ways=None)
    for review in (a_review(), asked(), reminded(), asked(returned_at=T0)):
        step = next_step(review, nobody, now=T0 + 400 * DAY, windows=WINDOWS)
        assert (step.do, step.look_at) == (Do.CALL, T0 + 401 * DAY)


def test_a_file_that_is_worked_on_is_asked_by_phone_first() -> None:
    end = T0 + 28 * DAY
    busy = Circumstances(ways="a", last_entry_at=T0 + DAY)
    step = next_step(reminded(), busy, now=end, windows=WINDOWS)
    assert (step.do, step.look_at) == (Do.ASK_BY_PHONE, end + 28 * DAY)
    # And again only after 28 more days
    phoned = reminded(next_at=step.look_at)
    assert due(phoned, now=end + 27 * DAY, windows=WINDOWS) is None
    assert next_step(phoned, busy, now=end + 28 * DAY, windows=WINDOWS).do is Do.EXPIRE
    still = Circumstances(ways="a", last_entry_at=end + 20 * DAY)
    assert next_step(phoned, still, now=end + 28 * DAY, windows=WINDOWS).do is Do.ASK_BY_PHONE
    assert next_step(reminded(), Circumstances(ways="a", last_entry_at=T0), now=end, windows=WINDOWS).do is Do.EXPIRE


def test_silence_is_paused_while_contact_has_stopped() -> None:
    stopped = Circumstances(ways="a", stopped=True)
    for review in (a_review(), asked(), reminded()):
        assert next_step(review, stopped, now=T0 + 400 * DAY, windows=WINDOWS).do is Do.WAIT


def test_what_is_answered_silent_or_over_is_never_due() -> None:
    for state in (State.ANSWERED, State.SILENT, State.OVER):
        assert due(reminded(state=state), now=T0 + 400 * DAY, windows=WINDOWS) is None
        assert looked_at(reminded(state=state), windows=WINDOWS) is None


@pytest.mark.parametrize(
    ("now", "counts", "why"),
    [
        (T0, Counts(), None),
        (T0 + 10 * DAY, Counts(silences=20), None),
        (T0 - timedelta(seconds=59), Counts(), None),
        (T0 - DAY, Counts(), Stopped.BEHIND),
        (T0 + 10 * DAY + timedelta(seconds=1), Counts(), Stopped.TOO_FAR),
        (T0 + 3650 * DAY, Counts(), Stopped.TOO_FAR),
        (T0 + DAY, Counts(silences=21), Stopped.TOO_MANY),
        (T0 + DAY, Counts(silences=20, expiries=1), Stopped.TOO_MANY),
        (T0 + DAY, Counts(letters=1000, shells=1000), None),
    ],
)
def test_when_a_run_needs_a_name(now: datetime, counts: Counts, why: Stopped | None) -> None:
    assert clock.stops(counts, now=now, last=T0, most=20) is why


def test_the_first_run_has_none_before_it() -> None:
    assert clock.stops(Counts(), now=T0, last=None, most=20) is None
