"""Whom the notifier may write to, by which way, and how one outcome is told for several letters."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.notifier.model import last_letters, notifications, recipients
from services.notifier.model.notifications import Channel
from services.notifier.model.recipients import KnownCase, KnownPerson, Person, due_an_opening_letter
from shared.known_consents import StandingConsent

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def known(person: str, role: str = "parent", *, post: bool = True, email: bool = False) -> KnownPerson:
    return KnownPerson(person=person, role=role, post=post, email=email)


def stands(purpose: str = "casework", person: str | None = None, until: datetime | None = None) -> StandingConsent:
    return StandingConsent(consent="c", purpose=purpose, person=person, until=until)


def an_open_case(*people: KnownPerson, standing: tuple[StandingConsent, ...] = (stands(),)) -> KnownCase:
    return KnownCase(case_id="case", state="open", people=people, standing=standing)


def test_a_consent_that_names_nobody_speaks_for_the_adult_added_first() -> None:
    case = an_open_case(known("kid", "child"), known("mother"), known("father"))
    assert due_an_opening_letter(case, NOW) == [("mother", Channel.LETTER)]


def test_a_consent_that_names_somebody_speaks_for_nobody_else() -> None:
    case = an_open_case(known("mother"), known("father"), standing=(stands(person="father"),))
    assert due_an_opening_letter(case, NOW) == [("father", Channel.LETTER)]


@pytest.mark.parametrize("role", ["child", "other"])
def test_neither_a_child_nor_another_is_written_to_whatever_was_agreed(role: str) -> None:
    assert due_an_opening_letter(an_open_case(known("one", role), standing=(stands(person="one"),)), NOW) == []


@pytest.mark.parametrize("role", ["parent", "carer", "young_person"])
def test_every_adult_is_written_to_once_they_can_be_reached(role: str) -> None:
    case = an_open_case(known("one", role, post=False))
    assert due_an_opening_letter(case, NOW) == []
    assert due_an_opening_letter(replace(case, people=(known("one", role),)), NOW) == [("one", Channel.LETTER)]


@pytest.mark.parametrize("state", [None, "shell", "inactive", "closed"])
def test_nobody_is_welcomed_to_a_case_that_is_not_open(state: str | None) -> None:
    assert due_an_opening_letter(replace(an_open_case(known("one")), state=state), NOW) == []


def test_an_email_wants_its_own_consent_and_an_address() -> None:
    agreed = (stands(), stands("email"))
    assert due_an_opening_letter(an_open_case(known("one", email=True)), NOW) == [("one", Channel.LETTER)]
    assert due_an_opening_letter(an_open_case(known("one", email=True), standing=agreed), NOW) == [
        ("one", Channel.EMAIL)
    ]
    assert due_an_opening_letter(an_open_case(known("one"), standing=agreed), NOW) == [("one", Channel.LETTER)]


def test_a_consent_ends_at_its_time() -> None:
    case = an_open_case(known("one"), standing=(stands(until=NOW),))
    assert due_an_opening_letter(case, NOW) == []
    assert due_an_opening_letter(case, NOW - timedelta(seconds=1)) != []


def test_the_last_letter_goes_by_what_stood_before_the_request() -> None:
    case = an_open_case(known("one"))
    assert case.standing_before_request == (stands(),)
    assert replace(case, standing=(), before=(stands(),)).standing_before_request == (stands(),)
    assert replace(case, before=()).standing_before_request == ()


def test_an_intent_is_the_same_for_the_same_event_template_and_person_alone() -> None:
    assert notifications.intent("opening", "opening", "a") == notifications.intent("opening", "opening", "a")
    others = (("a", "b", "c"), ("a", "b", "d"), ("a", "c", "c"), ("b", "b", "c"))
    assert len({notifications.intent(*names) for names in others}) == 4


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
    assert last_letters.outcome_of(ended) == outcome


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
    (person,) = recipients.people_of(answer)
    assert person.name == "Zbyněk Ångström"
    assert not any(word in repr(person) for word in ("Zbyněk", "Ångström", "Quince", "quince"))
    sealed = last_letters.SealedLetter(
        id="l",
        case_id="c",
        request="r",
        person_id="p",
        channel=Channel.LETTER,
        personal=last_letters.SealedContent(name=person.name, address=person.address),
    )
    assert not any(word in repr(sealed) for word in ("Zbyněk", "Quince"))


def test_who_asked_for_letters_gets_no_email() -> None:
    known = {"id": "p", "role": "parent", "given_name": "A", "email": "a@b.example", "address": ["1 Quince Row"]}

    def reached(post: str, email: str) -> Person:
        reach = [{"person_id": "p", "post": post, "email": email}]
        return recipients.people_of({"people": [known], "reach": reach})[0]

    person = reached("yes", "yes")
    assert person.takes_email
    assert person.address
    assert not person.plain
    assert reached("plain", "yes").plain
    # A way that isn't safe is as if there were none
    assert not reached("yes", "no").takes_email
    assert reached("no", "yes").address == ()
    assert person.withheld == reached("plain", "yes").withheld == frozenset()
    assert reached("yes", "no").withheld == {Channel.EMAIL}
    assert reached("no", "yes").withheld == {Channel.LETTER}
    # Whoever has no address is out of reach, and that isn't a matter of safety
    del known["email"], known["address"]
    assert reached("no", "no").withheld == frozenset()
    assert not replace(person, preferred="letter").takes_email
    assert not replace(person, email=None).takes_email
