"""Working days (P24): day 0 is the day of receipt in London, at any hour."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import holidays
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import LONDON
from shared.uk.working_days import Closure, WorkingDays, end_of_day, london_day

DAYS = st.dates(date(2020, 1, 1), date(2040, 12, 31))
PLAIN = WorkingDays()
ENGLAND = holidays.country_holidays("GB", subdiv="ENG", years=range(2019, 2043))


@pytest.mark.parametrize(
    ("received", "due"),
    [
        (date(2026, 4, 2), date(2026, 4, 8)),  # over Good Friday and Easter Monday
        (date(2026, 12, 24), date(2026, 12, 30)),  # Boxing Day is a Saturday: its substitute is Monday 28
        (date(2026, 11, 20), date(2026, 11, 24)),  # a Friday
        (date(2026, 11, 21), date(2026, 11, 24)),  # a Saturday
        (date(2026, 11, 22), date(2026, 11, 24)),  # a Sunday
        (date(2027, 12, 31), date(2028, 1, 5)),  # New Year's Day is a Saturday
    ],
)
def test_p24_two_working_days_after_the_day_of_receipt(received: date, due: date) -> None:
    assert PLAIN.after(received, 2) == due


@given(DAYS, st.integers(0, 30))
def test_the_nth_working_day_has_n_working_days_up_to_it(received: date, count: int) -> None:
    due = PLAIN.after(received, count)
    between = [received + timedelta(days=n) for n in range(1, (due - received).days + 1)]
    assert sum(day.weekday() < 5 and day not in ENGLAND for day in between) == count
    if count:
        assert due.weekday() < 5
        assert due not in ENGLAND


@given(DAYS, DAYS, st.integers(1, 10))
def test_what_was_received_later_is_never_due_earlier(one: date, other: date, count: int) -> None:
    first, second = sorted((one, other))
    assert PLAIN.after(first, count) <= PLAIN.after(second, count)


@given(DAYS, st.integers(1, 10), st.lists(st.tuples(st.integers(0, 20), st.integers(-20, 20)), max_size=6))
def test_a_closure_counts_only_if_it_was_published_before_receipt(
    received: date, count: int, shut: list[tuple[int, int]]
) -> None:
    closures = [
        Closure(day=received + timedelta(days=ahead), published=received + timedelta(days=known))
        for ahead, known in shut
    ]
    known = tuple(closure for closure in closures if closure.published < received)
    due = WorkingDays(closures=tuple(closures)).after(received, count)
    assert due == WorkingDays(closures=known).after(received, count)
    assert due >= PLAIN.after(received, count)
    assert due not in [closure.day for closure in known]


def test_a_closure_published_on_the_day_of_receipt_moves_nothing() -> None:
    wednesday = date(2026, 11, 25)
    before = WorkingDays.parse(["2026-11-26@2026-11-24"])
    same_day = WorkingDays.parse(["2026-11-26@2026-11-25"])
    always = WorkingDays.parse([" 2026-11-26 "])
    assert before.after(wednesday, 2) == date(2026, 11, 30)
    assert same_day.after(wednesday, 2) == date(2026, 11, 27)
    assert always.after(wednesday, 2) == date(2026, 11, 30)


@pytest.mark.parametrize("entry", ["2026-13-01", "26/11/2026", "2026-11-26@soon", "2026-11-26@2026-11-24@x"])
def test_a_closure_that_is_no_date_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        WorkingDays.parse([entry])


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(2026, 7, 1, 22, 59, 59, tzinfo=UTC), date(2026, 7, 1)),
        (datetime(2026, 7, 1, 23, 0, tzinfo=UTC), date(2026, 7, 2)),  # summer time: midnight in London
        (datetime(2026, 11, 22, 23, 59, 59, tzinfo=UTC), date(2026, 11, 22)),
        (datetime(2026, 11, 23, 0, 0, tzinfo=UTC), date(2026, 11, 23)),
        (datetime(2026, 3, 29, 0, 30, tzinfo=UTC), date(2026, 3, 29)),  # the night summer time begins
        (datetime(2026, 10, 24, 23, 30, tzinfo=UTC), date(2026, 10, 25)),  # the night it ends
    ],
)
def test_the_day_of_receipt_is_london_s(moment: datetime, day: date) -> None:
    assert london_day(moment) == day


@pytest.mark.parametrize(
    ("day", "last_second"),
    [
        (date(2026, 3, 28), datetime(2026, 3, 28, 23, 59, 59, tzinfo=UTC)),
        (date(2026, 3, 29), datetime(2026, 3, 29, 22, 59, 59, tzinfo=UTC)),
        (date(2026, 10, 24), datetime(2026, 10, 24, 22, 59, 59, tzinfo=UTC)),
        (date(2026, 10, 25), datetime(2026, 10, 25, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_due_at_is_the_last_second_of_the_day_in_london(day: date, last_second: datetime) -> None:
    assert end_of_day(day) == last_second


@given(DAYS)
def test_the_second_after_due_at_is_another_day(day: date) -> None:
    due_at = end_of_day(day)
    assert london_day(due_at) == day
    assert london_day(due_at + timedelta(seconds=1)) == day + timedelta(days=1)
    assert due_at.astimezone(LONDON).strftime("%H:%M:%S") == "23:59:59"
