"""Safe contact: what counts as asked about, and whom a letter or an email may reach."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from services.case.model.people import Person, check_kept_apart
from services.case.model.reach import check_a_way_is_left, reach_of, with_given
from services.case.model.safe_contact import NO, PLAIN, WAYS, YES, SafeContact, safe_contact_from
from shared.errors import Invalid

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOME = ("1 Mill Lane", "Ely", "CB7 4QJ")
NEVER = dict.fromkeys(WAYS, NO)


def a_person(**more: object) -> Person:
    fields = {"id": "one", "case_id": "case", "role": "parent", "given_name": "A", "family_name": "B", **more}
    return Person(**fields)  # type: ignore[arg-type]


def test_a_way_given_with_the_person_counts_as_asked_about_that_day_and_no_other_does() -> None:
    person = with_given(a_person(address=HOME, phone="07700 900123"), None, now=NOW)
    assert person.safe_contact == SafeContact(post=YES, phone=YES, asked_at=NOW)


def test_a_way_given_later_counts_from_then_but_what_was_said_of_it_stays() -> None:
    before = a_person(safe_contact=SafeContact(email=NO, asked_at=NOW - timedelta(days=9)))
    after = with_given(replace(before, address=HOME, email="a@b.example"), before, now=NOW)
    assert after.safe_contact == SafeContact(post=YES, email=NO, asked_at=NOW)
    assert reach_of([after])[0].email == NO


def test_a_new_address_says_nothing_new_of_whether_post_is_safe() -> None:
    before = a_person(address=HOME, safe_contact=SafeContact(post=NO, asked_at=NOW))
    moved = replace(before, address=("2 Mill Lane", *HOME[1:]))
    assert with_given(moved, before, now=NOW + timedelta(days=1)) == moved


@pytest.mark.parametrize(("post", "email"), list(product((YES, PLAIN, NO, None), (YES, NO, None))))
def test_only_a_way_that_was_asked_about_and_not_refused_reaches(post: str | None, email: str | None) -> None:
    said = SafeContact(post=post, email=email, asked_at=NOW)
    (reach,) = reach_of([a_person(address=HOME, email="a@b.example", safe_contact=said)])
    assert (reach.post, reach.email) == (post or NO, email or NO)
    (without,) = reach_of([a_person(safe_contact=said)])
    assert (without.post, without.email) == (NO, NO)


def test_no_post_goes_to_the_household_of_somebody_who_is_kept_apart() -> None:
    yes = SafeContact(post=YES, email=YES)
    mother = a_person(address=HOME, email="a@b.example", safe_contact=yes)
    father = a_person(id="two", address=("9 Elsewhere Road", "Ely", "CB7 4QJ"), safe_contact=yes)
    child = a_person(id="three", role="young_person", address=("1, MILL LANE", "Ely", "CB74QJ"), kept_apart=True)
    child = replace(child, safe_contact=yes)
    assert [one.post for one in reach_of([mother, father, child])] == [NO, YES, NO]
    assert [one.post for one in reach_of([mother, father, replace(child, kept_apart=False)])] == [YES, YES, YES]
    assert reach_of([mother, father, child])[0].email == YES


@pytest.mark.parametrize("role", ["parent", "carer", "other"])
def test_only_a_child_or_young_person_is_kept_apart(role: str) -> None:
    with pytest.raises(Invalid):
        check_kept_apart(a_person(role=role, kept_apart=True))
    check_kept_apart(a_person(role="child", kept_apart=True))


def test_nobody_can_have_been_asked_tomorrow() -> None:
    with pytest.raises(Invalid):
        safe_contact_from({"post": YES, "asked_at": NOW + timedelta(days=1)}, now=NOW)
    assert safe_contact_from({"post": YES}, now=NOW) == SafeContact(post=YES, asked_at=NOW)


def test_the_only_person_keeps_one_way_and_of_two_one_may_refuse_all() -> None:
    only = a_person(safe_contact=SafeContact(**NEVER))
    other = a_person(id="two")
    with pytest.raises(Invalid):
        check_a_way_is_left([replace(only, safe_contact=SafeContact())], only)
    check_a_way_is_left([only, other], only)
    for way in WAYS:
        check_a_way_is_left([only], replace(only, safe_contact=SafeContact(**{**NEVER, way: YES})))
        # A way that wasn't asked about isn't used, so it is none
        with pytest.raises(Invalid):
            check_a_way_is_left([only], replace(only, safe_contact=SafeContact(**{**NEVER, way: None})))
