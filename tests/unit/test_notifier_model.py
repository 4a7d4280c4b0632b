"""Whom the notifier may write to, by which way, and how one outcome is told for several letters."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.notifier import model as m

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def known(person: str, role: str = "parent", *, post: bool = True, email: bool = False) -> m.Known:
    return m.Known(person=person, role=role, post=post, email=email)


def stands(purpose: str = "casework", person: str | None = None, until: datetime | None = None) -> m.Stands:
    return m.Stands(consent="c", purpose=purpose, party=None, document_kind=None, person=person, until=until)


def an_open_case(*people: m.Known, standing: tuple[m.Stands, ...] = (stands(),)) -> m.Projection:
    return m.Projection(case_id="case", state="open", people=people, standing=standing)


def test_a_consent_that_names_nobody_speaks_for_the_adult_added_first() -> None:
    case = an_open_case(known("kid", "child"), known("mother"), known("father"))
    assert m.to_be_welcomed(case, NOW) == [("mother", m.Channel.LETTER)]


def test_a_consent_that_names_somebody_speaks_for_nobody_else() -> None:
    case = an_open_case(known("mother"), known("father"), standing=(stands(person="father"),))
    assert m.to_be_welcomed(case, NOW) == [("father", m.Channel.LETTER)]


@pytest.mark.parametrize("role", ["child", "other"])
def test_neither_a_child_nor_another_is_written_to_whatever_was_agreed(role: str) -> None:
    assert m.to_be_welcomed(an_open_case(known("one", role), standing=(stands(person="one"),)), NOW) == []


@pytest.mark.parametrize("role", ["parent", "carer", "young_person"])
def test_every_adult_is_written_to_once_they_can_be_reached(role: str) -> None:
    case = an_open_case(known("one", role, post=False))
    assert m.to_be_welcomed(case, NOW) == []
    assert m.to_be_welcomed(replace(case, people=(known("one", role),)), NOW) == [("one", m.Channel.LETTER)]


@pytest.mark.parametrize("state", [None, "shell", "inactive", "closed"])
def test_nobody_is_welcomed_to_a_case_that_is_not_open(state: str | None) -> None:
    assert m.to_be_welcomed(replace(an_open_case(known("one")), state=state), NOW) == []


def test_an_email_wants_its_own_consent_and_an_address() -> None:
    agreed = (stands(), stands("email"))
    assert m.to_be_welcomed(an_open_case(known("one", email=True)), NOW) == [("one", m.Channel.LETTER)]
    assert m.to_be_welcomed(an_open_case(known("one", email=True), standing=agreed), NOW) == [("one", m.Channel.EMAIL)]
    assert m.to_be_welcomed(an_open_case(known("one"), standing=agreed), NOW) == [("one", m.Channel.LETTER)]


def test_a_consent_ends_at_its_time() -> None:
    case = an_open_case(known("one"), standing=(stands(until=NOW),))
    assert m.to_be_welcomed(case, NOW) == []
    assert m.to_be_welcomed(case, NOW - timedelta(seconds=1)) != []


def test_the_last_letter_goes_by_what_stood_before_the_request() -> None:
    case = an_open_case(known("one"))
    assert case.stood == (stands(),)
    assert replace(case, standing=(), before=(stands(),)).stood == (stands(),)
    assert replace(case, before=()).stood == ()


def test_an_intent_is_the_same_for_the_same_event_template_and_person_alone() -> None:
    assert m.intent("opening", "opening", "a") == m.intent("opening", "opening", "a")
    others = (("a", "b", "c"), ("a", "b", "d"), ("a", "c", "c"), ("b", "b", "c"))
    assert len({m.intent(*names) for names in others}) == 4


@pytest.mark.parametrize(
    ("ended", "outcome"),
    [
        ([], "nobody"),
        (["sent"], "sent"),
        (["sent", "undeliverable"], "sent"),
        (["undeliverable", "undeliverable"], "undeliverable"),
        (["sent", "unknown", "undeliverable"], "unknown"),
        (["nobody"], "nobody"),
    ],
)
def test_one_outcome_is_told_for_all_letters(ended: list[str], outcome: str) -> None:
    assert m.outcome_of(ended) == outcome


def test_nobody_shows_in_a_repr() -> None:
    answer = {
        "people": [
            {
                "id": "p",
                "role": "parent",
                "given_name": "Zbyněk",
                "family_name": "Ångström",
                "address": ["1 Quince Row", "Marlow", "SL7 1AB"],
                "email": "z@quince.example",
                "formats": ["large_print"],
            }
        ],
        "reach": [{"person_id": "p", "post": "yes", "email": "yes"}],
    }
    (person,) = m.people_of(answer)
    assert person.name == "Zbyněk Ångström"
    assert not any(word in repr(person) for word in ("Zbyněk", "Ångström", "Quince", "quince"))
    sealed = m.LastLetter(person_id="p", channel=m.Channel.LETTER, personal={"name": person.name})
    assert "Zbyněk" not in repr(sealed)


def test_who_asked_for_letters_gets_no_email() -> None:
    known = {"id": "p", "role": "parent", "given_name": "A", "email": "a@b.example", "address": ["1 Quince Row"]}

    def reached(post: str, email: str) -> m.Person:
        reach = [{"person_id": "p", "post": post, "email": email}]
        return m.people_of({"people": [known], "reach": reach})[0]

    person = reached("yes", "yes")
    assert person.takes_email
    assert person.address
    assert not person.plain
    assert reached("plain", "yes").plain
    # A way that isn't safe is as if there were none
    assert not reached("yes", "no").takes_email
    assert reached("no", "yes").address == ()
    assert not replace(person, preferred="letter").takes_email
    assert not replace(person, email=None).takes_email
