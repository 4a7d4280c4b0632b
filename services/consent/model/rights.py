"""When rights pass from a parent to the young person, and what of a file's consents covers it from then on.

The end of compulsory school age (docs/promises.md, P1 and P7): the day after the last Friday in June of the school year
in which they turn 16 (Education Act 1996 s. 8: the end of compulsory school age; Children and Families Act 2014 s. 83:
a young person).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from services.consent.model.consents import CHILD, PARENTAL, YOUNG_PERSON, Standing
from shared.known_consents import CASEWORK

#: How long before the day the office is reminded to ask the young person.
ASKED_BEFORE = timedelta(days=60)
_FRIDAY = 4
_SEPTEMBER = 9


def rights_pass_on(born: date) -> date:
    """The first day on which a parent's consent no longer covers the file.

    31 Aug 2009 → 28 Jun 2025; 1 Sep 2009 → 27 Jun 2026.
    """
    ends = _school_year_end(born, 16)
    last_of_june = date(ends, 6, 30)
    last_friday = last_of_june - timedelta(days=(last_of_june.weekday() - _FRIDAY) % 7)
    return last_friday + timedelta(days=1)


def _school_year_end(born: date, age: int) -> int:
    """The year in which the school year (1 Sep to 31 Aug) ends in which that age is reached."""
    return born.year + age + (1 if born.month >= _SEPTEMBER else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """The days of one young person's file that the clock looks at, none of which tells when they were born.

    asks_on: the task opens. pass_on: rights pass. nears_25_on: 1 Sep of the school year in which they turn 25; from
    then on, and only then, the month is looked at too. turns_25_in: the first day of that month.
    """

    asks_on: date
    pass_on: date
    nears_25_on: date
    turns_25_in: date

    def next_after(self, today: date) -> date | None:
        """The next day on which something of this file falls due; None when nothing more does."""
        return min((day for day in (self.asks_on, self.pass_on, self.nears_25_on, self.turns_25_in) if day > today),
                   default=None)  # fmt: skip

    @property
    def end_of_25th(self) -> date:
        """The last day of the month in which they turn 25: what is due then tells no birthday."""
        return (self.turns_25_in + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def calendar_of(born: date) -> Calendar:
    """See `Calendar`. Every day in it is the same for all who were born in that school year, but for the month."""
    pass_on = rights_pass_on(born)
    return Calendar(
        asks_on=pass_on - ASKED_BEFORE,
        pass_on=pass_on,
        nears_25_on=date(_school_year_end(born, 25) - 1, _SEPTEMBER, 1),
        turns_25_in=date(born.year + 25, born.month, 1),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Young:
    """A child or young person of a case. id: the person's. pass_on None: their date of birth isn't known.

    passed_at: when the clock took notice; from then on they have passed, on any day. next_on: when the clock
    looks again.
    """

    id: str
    case_id: str
    pass_on: date | None
    passed_at: datetime | None = None
    next_on: date | None = None
    version: int = field(default=1, compare=False)

    def has_passed(self, today: date) -> bool:
        return self.passed_at is not None or (self.pass_on is not None and self.pass_on <= today)


def speaks_for(stand: Standing, young: Young, *, only_one: bool) -> bool:
    """Whether this is the young person's own consent to the file, or that of the person who decides for them.

    Their own counts also where they gave it as a competent child. only_one: the case has no other child or young
    person, so one who gave it without being named is they.
    """
    if stand.grant.purpose != CASEWORK:
        return False
    if stand.for_person_id is not None:
        return stand.for_person_id == young.id
    if stand.capacity not in (YOUNG_PERSON, CHILD):
        return False
    return stand.person_id == young.id or (stand.person_id is None and only_one)


def unanswered(stands: Iterable[Standing], young: Sequence[Young], *, today: date) -> list[Young]:
    """The young people whose rights have passed, and who have not been heard: neither they nor their representative."""
    file = [s for s in stands if s.grant.purpose == CASEWORK]
    return [y for y in young if y.has_passed(today) and not _answered(file, y, young)]


def covering(stands: Sequence[Standing], young: Sequence[Young], *, today: date) -> tuple[Standing, ...]:
    """What of the consents that stand covers the file on that day.

    Nothing while a young person whose rights have passed has not been heard. Afterwards everything but parental
    authority, unless it is a brother's or sister's file too. Before the day, nothing for longer than its eve.
    """
    if unanswered(stands, young, today=today):
        return ()
    coming = [
        y.pass_on
        for y in young
        if y.pass_on is not None and not y.has_passed(today) and not _answered(stands, y, young)
    ]
    eve = min(coming) - timedelta(days=1) if coming else None
    return tuple(replace(s, grant=s.grant.until_at_most(eve)) for s in speaking(stands, young, today=today))


def speaking(stands: Iterable[Standing], young: Sequence[Young], *, today: date) -> tuple[Standing, ...]:
    """The consents of those who may still speak for the file.

    Once the rights of every young person have passed: their own, and those of people who decide for one who can't.
    Every other consent, by parental authority or on another basis, counts for nothing then.
    """
    parents_may = parents_may_speak(young, today=today)
    return tuple(s for s in stands if parents_may or is_own_word(s.capacity, s.for_person_id))


def is_own_word(capacity: str, for_person_id: str | None) -> bool:
    """Whether a consent in that capacity is a child's or young person's own, or their representative's."""
    return capacity in (YOUNG_PERSON, CHILD) or for_person_id is not None


def may_end_the_file(
    young: Sequence[Young],
    stands: Iterable[Standing],
    *,
    authority: str,
    person_id: str | None,
    today: date,
) -> bool:
    """Whether a person with that authority may ask for the whole file to be forgotten.

    Not on parental responsibility where a young person of the file decides for themselves: their rights have passed, or
    the file rests on a child's own consent alone. Nor for themselves alone, where another person decides.
    """
    grown = {one.id for one in young if one.has_passed(today)}
    if authority == PARENTAL:
        file = [s for s in stands if s.grant.purpose == CASEWORK]
        return not grown and not (file and all(s.capacity in (YOUNG_PERSON, CHILD) for s in file))
    return authority != "self" or person_id is None or not grown or person_id in grown


def parents_may_speak(young: Sequence[Young], *, today: date) -> bool:
    """Whether parental responsibility still counts: a young person of the file is still under it, or none is known."""
    return not young or any(not y.has_passed(today) for y in young)


def _answered(stands: Iterable[Standing], young: Young, among: Sequence[Young]) -> bool:
    return any(speaks_for(s, young, only_one=len(among) == 1) for s in stands)
