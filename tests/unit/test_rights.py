"""When rights pass: every birthday of twenty-one years, reckoned another way; and what covers a file from then on."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta

import pytest

from services.consent.model.consents import Grant, Standing
from services.consent.model.rights import (
    Young,
    calendar_of,
    covering,
    may_end_the_file,
    parents_may_speak,
    rights_pass_on,
    unanswered,
)

TODAY = date(2026, 11, 22)
FILE = Grant(purpose="casework")
CONTACT = Grant(purpose="contact", party="council")
ANN, ZOE, ALI = "ann", "zoe", "ali"


def reckoned_otherwise(born: date) -> date:
    """Day by day: the first 31 August on which they are 16, or are about to be; back to June; its last Friday."""
    sixteen = (born.year + 16, born.month, born.day)
    end = date(born.year + 15, 8, 31)
    while (end.year, end.month, end.day) < sixteen:
        end = end.replace(year=end.year + 1)
    fridays = [week[calendar.FRIDAY] for week in calendar.monthcalendar(end.year, 6) if week[calendar.FRIDAY]]
    return date(end.year, 6, fridays[-1]) + timedelta(days=1)


def test_rights_pass_as_reckoned_otherwise_for_every_birthday_of_2005_to_2025() -> None:
    born, tried = date(2005, 1, 1), 0
    while born <= date(2025, 12, 31):
        day = rights_pass_on(born)
        assert day == reckoned_otherwise(born), born
        assert day.weekday() == calendar.SATURDAY
        assert (day.month, day.day) >= (6, 25)
        assert (day.month, day.day) <= (7, 1)
        born, tried = born + timedelta(days=1), tried + 1
    assert tried == 7670


@pytest.mark.parametrize(
    ("born", "day"),
    [
        # The last of one school year and the first of the next
        (date(2009, 8, 31), date(2025, 6, 28)),
        (date(2009, 9, 1), date(2026, 6, 27)),
        (date(2010, 8, 31), date(2026, 6, 27)),
        # Leap days
        (date(2008, 2, 29), date(2024, 6, 29)),
        (date(2012, 2, 29), date(2028, 7, 1)),
        # 30 June is a Friday itself
        (date(2007, 1, 1), date(2023, 7, 1)),
    ],
)
def test_known_days(born: date, day: date) -> None:
    assert rights_pass_on(born) == day


def test_what_the_clock_looks_at_is_the_same_for_a_whole_school_year_but_for_the_last_months() -> None:
    first, last = calendar_of(date(2009, 9, 1)), calendar_of(date(2010, 8, 31))
    assert (first.asks_on, first.pass_on, first.nears_25_on) == (last.asks_on, last.pass_on, last.nears_25_on)
    assert first.pass_on - first.asks_on == timedelta(days=60)
    assert (first.nears_25_on, first.turns_25_in, last.turns_25_in) == (
        date(2034, 9, 1),
        date(2034, 9, 1),
        date(2035, 8, 1),
    )
    assert last.next_after(date(2026, 4, 27)) == last.asks_on
    assert last.next_after(last.asks_on) == last.pass_on
    assert last.next_after(last.pass_on) == date(2034, 9, 1)
    assert last.next_after(date(2034, 9, 1)) == date(2035, 8, 1)
    assert last.next_after(date(2035, 8, 1)) is None
    assert last.end_of_25th == date(2035, 8, 31)
    assert calendar_of(date(2004, 2, 29)).end_of_25th == date(2029, 2, 28)


# What covers a file


def young(person: str = ZOE, born: date | None = date(2009, 9, 1)) -> Young:
    return Young(id=person, case_id="case", pass_on=None if born is None else rights_pass_on(born))


def agreed(consent: str, person: str | None, capacity: str, grant: Grant = FILE, **more: str) -> Standing:
    return Standing(consent_id=consent, person_id=person, grant=grant, capacity=capacity, **more)


PARENT = (
    agreed("c1", ANN, "parental_responsibility"),
    agreed("c1", ANN, "parental_responsibility", CONTACT),
)
THEIRS = agreed("c2", ZOE, "young_person")
PASSED, UNDER, UNKNOWN = young(), young(ALI, date(2015, 3, 3)), young(ALI, None)


def covers(stands: tuple[Standing, ...], *people: Young) -> list[tuple[str, str]]:
    return [(s.consent_id, s.grant.purpose) for s in covering(stands, people, today=TODAY)]


def test_a_parent_s_consent_covers_the_file_until_the_day_and_not_from_it_on() -> None:
    day = rights_pass_on(date(2009, 9, 1))
    for today, left in ((day - timedelta(days=1), 2), (day, 0), (day + timedelta(days=400), 0)):
        assert len(covering(PARENT, [young()], today=today)) == left
    eve = covering(PARENT, [young()], today=day - timedelta(days=30))
    assert {s.grant.until for s in eve} == {day - timedelta(days=1)}
    assert covers(PARENT) == [("c1", "casework"), ("c1", "contact")]
    assert len(covers(PARENT, UNKNOWN)) == 2


def test_a_day_that_the_clock_has_noticed_stays() -> None:
    noticed = Young(id=ZOE, case_id="case", pass_on=date(2030, 6, 29), passed_at=datetime(2030, 7, 1, tzinfo=UTC))
    assert covering(PARENT, [noticed], today=TODAY) == ()


def test_once_the_young_person_agrees_their_word_covers_the_file_and_their_parent_s_doesn_t() -> None:
    assert covers((*PARENT, THEIRS), PASSED) == [("c2", "casework")]
    # Also as a competent child before the day, and unnamed where nobody else could be meant
    assert covers((*PARENT, agreed("c2", ZOE, "child")), PASSED) == [("c2", "casework")]
    assert covers((agreed("c2", None, "young_person"),), PASSED) == [("c2", "casework")]
    assert covers((agreed("c2", None, "young_person"),), PASSED, UNDER) == []
    # To something else is not to the file
    assert covers((*PARENT, agreed("c2", ZOE, "young_person", CONTACT)), PASSED) == []
    assert covers((*PARENT, agreed("c2", ALI, "young_person")), PASSED) == []


def test_whoever_represents_them_covers_the_file_and_an_adult_s_own_basis_does_not() -> None:
    for_them = agreed("c3", ANN, "other", for_person_id=ZOE)
    assert covers((*PARENT, for_them), PASSED) == [("c3", "casework")]
    assert covers((*PARENT, agreed("c3", ANN, "other")), PASSED) == []
    assert covers((*PARENT, agreed("c3", ANN, "other", for_person_id=ALI)), PASSED) == []


def test_a_brother_s_or_sister_s_file_stays_under_their_parents_authority() -> None:
    assert covers(PARENT, PASSED, UNDER) == []
    assert covers((*PARENT, THEIRS), PASSED, UNDER) == [("c1", "casework"), ("c1", "contact"), ("c2", "casework")]
    assert unanswered((*PARENT, THEIRS), [PASSED, UNDER], today=TODAY) == []
    assert parents_may_speak([PASSED, UNDER], today=TODAY)
    assert parents_may_speak([PASSED, UNKNOWN], today=TODAY)
    assert parents_may_speak([], today=TODAY)
    assert not parents_may_speak([PASSED], today=TODAY)


def ends(authority: str, person: str | None, *people: Young, stands: tuple[Standing, ...] = PARENT) -> bool:
    return may_end_the_file(people, stands, authority=authority, person_id=person, today=TODAY)


def test_a_file_of_somebody_who_decides_for_themselves_is_not_ended_on_their_parents_authority() -> None:
    assert ends("parental_responsibility", ANN, UNDER)
    assert ends("parental_responsibility", ANN)
    assert not ends("parental_responsibility", ANN, PASSED)
    assert not ends("parental_responsibility", ANN, PASSED, UNDER)
    # Nor one that rests on a competent child's own word alone
    assert not ends("parental_responsibility", ANN, UNDER, stands=(agreed("c2", ALI, "child"),))
    assert ends("parental_responsibility", ANN, UNDER, stands=(*PARENT, agreed("c2", ALI, "child")))


def test_who_asks_for_themselves_is_who_decides() -> None:
    assert ends("self", ZOE, PASSED)
    assert not ends("self", ANN, PASSED)
    assert ends("self", ANN, UNDER)
    assert ends("self", None, PASSED)
    assert ends("representative", ANN, PASSED)


def test_an_adult_s_own_basis_speaks_for_nobody_once_everybody_s_rights_have_passed() -> None:
    assert covers((agreed("c3", ANN, "other"), THEIRS), PASSED) == [("c2", "casework")]
    assert covers((agreed("c3", ANN, "other"), THEIRS), PASSED, UNDER) == [("c3", "casework"), ("c2", "casework")]
