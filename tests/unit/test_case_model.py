"""The rules of the case service, in its own words."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.case.model.cases import Case, CaseView, moved, new_shell, opened, require_not_closed
from services.case.model.entries import KINDS, check_at, check_level, check_meeting, check_text
from services.case.model.people import Person, check_date_of_birth, checked
from services.case.model.search import Criterion, keys_of, name_key, phone_key, text_key
from shared.errors import Conflict, ConsentRequired, Forbidden, Invalid
from shared.known_consents import KnownConsents, StandingConsent
from shared.uk.phones import BadPhone, to_e164

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
TODAY = date(2026, 11, 22)


def a_case(state: str = "open") -> Case:
    return Case(id="c", reference="K7MW-3FQA", state=state, channel="phone", created_at=NOW, expires_at=None, version=3)


def a_person(**more: Any) -> Person:
    return Person(**{"id": "p", "case_id": "c", "role": "parent", "given_name": "Zoë", "family_name": "Łoś", **more})


# P4: shells


def test_p4_a_shell_ends_when_its_time_is_over_unless_it_was_agreed_to() -> None:
    shell = new_shell(id="c", reference="K7MW-3FQA", channel="phone", life=timedelta(days=7), now=NOW)

    assert shell.state == "shell"
    assert not shell.has_expired(NOW + timedelta(days=7, seconds=-1))
    assert shell.has_expired(NOW + timedelta(days=7))
    assert not opened(shell).has_expired(NOW + timedelta(days=700))
    assert opened(a_case("closed")).state == "closed"


def test_p4_only_standing_casework_lets_anything_be_kept() -> None:
    other = StandingConsent(consent="k", purpose="email")
    casework = StandingConsent(consent="k", purpose="casework")
    ended = StandingConsent(consent="k", purpose="casework", until=NOW)
    still = StandingConsent(consent="k", purpose="casework", until=NOW + timedelta(seconds=1))

    for none in ((), (other,), (ended, other)):
        with pytest.raises(ConsentRequired):
            KnownConsents(case_id="c", standing=none).require_casework(NOW)
    for some in ((casework,), (ended, still)):
        KnownConsents(case_id="c", standing=some).require_casework(NOW)


# P9, P20: states


@pytest.mark.parametrize("state", ["open", "inactive", "closed"])
def test_p4_a_shell_is_moved_by_nobody(state: str) -> None:
    with pytest.raises(ConsentRequired):
        moved(a_case("shell"), state, by_manager=True, casework_stands=True, has_outcome=True)


def test_p9_closing_wants_an_outcome() -> None:
    with pytest.raises(Conflict):
        moved(a_case(), "closed", by_manager=True, casework_stands=True, has_outcome=False)
    assert moved(a_case(), "closed", by_manager=False, casework_stands=False, has_outcome=True).state == "closed"


def test_reopening_wants_a_manager_and_a_consent() -> None:
    with pytest.raises(Forbidden):
        moved(a_case("closed"), "open", by_manager=False, casework_stands=True, has_outcome=True)
    for before in ("closed", "inactive"):
        with pytest.raises(ConsentRequired):
            moved(a_case(before), "open", by_manager=True, casework_stands=False, has_outcome=True)
    assert moved(a_case("closed"), "open", by_manager=True, casework_stands=True, has_outcome=True).state == "open"


def test_p20_a_file_may_stay_open_or_rest() -> None:
    resting = moved(a_case(), "inactive", by_manager=False, casework_stands=False, has_outcome=False)

    assert resting.state == "inactive"
    assert moved(resting, "open", by_manager=False, casework_stands=True, has_outcome=False).state == "open"


def test_the_etag_changes_with_the_version_and_the_freeze() -> None:
    case = a_case()

    assert len({CaseView(case=case, people=(), frozen=frozen).etag for frozen in (True, False)}) == 2


# P1, P10: people


@pytest.mark.parametrize("born", [TODAY, date(2000, 2, 29), date(1896, 1, 1), date(1990, 5, 5)])
def test_p1_a_date_of_birth_is_a_day_of_a_life(born: date) -> None:
    assert check_date_of_birth(born, today=TODAY) == born


@pytest.mark.parametrize("born", [TODAY + timedelta(days=1), date(1895, 12, 31), date(1, 1, 1), date(9999, 12, 31)])
def test_p1_a_day_of_no_life_is_refused(born: date) -> None:
    with pytest.raises(ValueError, match="date of birth"):
        check_date_of_birth(born, today=TODAY)


def test_every_wrong_field_is_named_and_no_value_repeated() -> None:
    wrong = {"date_of_birth": date(2030, 1, 1), "email": "zoe", "phone": "1", "address": ["Elm"], "family_name": "\t"}

    with pytest.raises(Invalid) as caught:
        checked({**wrong, "given_name": "Zoë"}, today=TODAY, mail_takes_utf8=True)

    assert set(caught.value.errors) == set(wrong)
    assert "Elm" not in str(caught.value.errors) + caught.value.detail


def test_what_is_given_is_tidied_and_nothing_is_added() -> None:
    tidy = checked(
        {"given_name": " Zoë  Ann ", "formats": ["easy_read", "easy_read"], "email": None, "phone": " 07700 900482 "},
        today=TODAY,
        mail_takes_utf8=False,
    )

    assert tidy == {"given_name": "Zoë Ann", "formats": ("easy_read",), "email": None, "phone": "07700 900482"}


def test_a_person_does_not_show_in_a_repr() -> None:
    assert "Zoë" not in repr(a_person())


# P12: entries


def test_p12_an_entry_has_words_a_time_and_perhaps_a_level() -> None:
    assert check_text(" so \n be it ") == "so \n be it"
    assert check_at(None, NOW) == NOW
    assert check_at(NOW + timedelta(days=300), NOW) == NOW + timedelta(days=300)
    assert check_level(None, by_manager=False) is None
    assert check_level(3, by_manager=True) == 3
    with pytest.raises(Forbidden):
        check_level(3, by_manager=False)
    for far in (datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC), NOW + timedelta(days=367)):
        with pytest.raises(Invalid):
            check_at(far, NOW)
    for nothing in (" \n", "\u200b", "\u00ad\n\u2060"):
        with pytest.raises(Invalid):
            check_text(nothing)


def test_p5_only_a_meeting_has_a_place_and_papers() -> None:
    check_meeting("meeting", "the school", ["the plan"])
    for kind in set(KINDS) - {"meeting"}:
        check_meeting(kind, None, [])
        with pytest.raises(Invalid) as refused:
            check_meeting(kind, "the school", ["the plan"])
        assert set(refused.value.errors) == {"place", "papers"}


def test_p5_a_closed_case_has_no_meetings_and_contacts_nobody() -> None:
    for state in ("open", "inactive"):
        require_not_closed(a_case(state))
    with pytest.raises(Conflict):
        require_not_closed(a_case("closed"))


# Search


def test_a_person_is_found_by_what_is_known_of_them_and_no_more() -> None:
    assert keys_of(a_person()) == {}
    keys = keys_of(
        a_person(
            date_of_birth=date(1984, 2, 29),
            address=("1 A St", "B", "SL7 1AB"),
            email="Z.Ł@b.example",
            phone="07700900482",
        )
    )
    assert keys == {
        Criterion.FAMILY_NAME: "los 1984-02-29",
        Criterion.POSTCODE: "sl71ab",
        Criterion.EMAIL: "zlbexample",
        Criterion.PHONE: "+447700900482",
    }


def test_nothing_to_compare_is_no_key() -> None:
    assert (name_key("’", TODAY), text_key("--"), phone_key("twelve")) == (None, None, None)


# Phones


@pytest.mark.parametrize(
    ("given", "e164"),
    [
        ("07700 900482", "+447700900482"),
        ("+44 (0)7700 900482", "+447700900482"),
        ("0044 7700 900 482", "+447700900482"),
        ("(01632) 960-123", "+441632960123"),
        ("01632 960123 ext. 7", "+441632960123"),
        ("٠٧٧٠٠٩٠٠٤٨٢", "+447700900482"),
        ("+353 1 896 0000", "+35318960000"),
        ("0800 1111", "+448001111"),
    ],
)
def test_a_possible_number_is_one_number_however_it_is_written(given: str, e164: str) -> None:
    assert to_e164(given) == e164


@pytest.mark.parametrize("given", ["", "1", "12345678901234567890", "ask the school", "+", "+999 12345", "0" * 61])
def test_what_is_not_a_possible_number_is_refused_without_repeating_it(given: str) -> None:
    with pytest.raises(BadPhone) as caught:
        to_e164(given)
    assert not given or len(given) < 3 or given not in caught.value.reason


@given(st.text(max_size=60))
def test_no_text_breaks_the_check_of_a_phone(text: str) -> None:
    with suppress(ValueError):
        assert to_e164(text)
