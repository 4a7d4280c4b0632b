"""UK postal addresses: what is accepted, how it is tidied, and what is said of the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.uk.postal import MAX_LINE_CHARACTERS, BadAddress, PostalAddress, normalise_postcode


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        ("sw1a1aa", "SW1A 1AA"),
        ("SW1A 1AA", "SW1A 1AA"),
        ("  m1   1ae ", "M1 1AE"),
        ("b33-8th", "B33 8TH"),
        ("ec1a1bb", "EC1A 1BB"),
        ("W1A\u00a00AX", "W1A 0AX"),
        ("bf1 0ax", "BF1 0AX"),
        ("gir0aa", "GIR 0AA"),
        ("je2 3ab", "JE2 3AB"),
    ],
)
def test_a_postcode_is_printed_as_royal_mail_sorts_it(typed: str, printed: str) -> None:
    assert normalise_postcode(typed) == printed


@pytest.mark.parametrize(
    "typed",
    ["", "SW1A", "1AA", "QQ1 1AA", "SW1A 1AC", "75008", "D02 X285", "SW1A 1AA 2", "ſW1A 1AA", "SW1A １AA"],
)
def test_what_is_no_uk_postcode_has_none(typed: str) -> None:
    assert normalise_postcode(typed) is None


def test_an_address_is_tidied_and_keeps_its_accents() -> None:
    address = PostalAddress.parse(
        ["  12   Stryd y Dŵr , ", "", "Łódź\u00a0House,", "Caffe\u0300 Yard", "nn1 1aa", "United Kingdom"]
    )
    assert address.lines == ("12 Stryd y Dŵr", "Łódź House", "Caff\u00e8 Yard", "NN1 1AA")
    assert address.postcode == "NN1 1AA"
    assert address.bfpo_number is None


def test_the_longest_welsh_name_fits_a_line() -> None:
    name = "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch"
    assert PostalAddress.parse(["1 High Street", name, "LL61 5UJ"]).lines[1] == name


@pytest.mark.parametrize(
    ("lines", "printed"),
    [
        (["Cpl A Example", "1 Loamshire Regt", "bfpo 57"], ("Cpl A Example", "1 Loamshire Regt", "BFPO 57")),
        (["Cpl A Example", "HMS Example", "BFPO c/o 0057"], ("Cpl A Example", "HMS Example", "BFPO 57")),
        (
            ["1 Loamshire Regt", "Camp", "bf1 0ax", "BFPO 57"],
            ("1 Loamshire Regt", "Camp", "BFPO 57", "BF1 0AX"),
        ),
    ],
)
def test_a_bfpo_address_ends_in_its_number_or_postcode(lines: list[str], printed: tuple[str, ...]) -> None:
    address = PostalAddress.parse(lines)
    assert address.lines == printed
    assert address.bfpo_number == 57


@pytest.mark.parametrize(
    "country",
    ["U.K.", "UK", "u. k.", "United Kingdom", "United  Kingdom.", "GREAT BRITAIN", "G.B.", "England", "Cymru",
     "N. Ireland", "England, U.K.", "Scotland,United Kingdom", "The United Kingdom"],
)  # fmt: skip
def test_a_country_of_the_uk_after_the_postcode_is_dropped(country: str) -> None:
    expected = ("1 High Street", "Northampton", "NN1 1AA")
    assert PostalAddress.parse(["1 High Street", "Northampton", "NN1 1AA", country]).lines == expected
    assert PostalAddress.parse(["1 High Street", "Northampton", f"nn11aa, {country}"]).lines == expected
    assert PostalAddress.parse(["1 High Street", "Northampton", f"NN1 1AA {country}"]).lines == expected
    assert PostalAddress.parse(["1 High Street", "Northampton", "NN1 1AA", "England", country]).lines == expected
    assert PostalAddress.parse(["Cpl A", "1 Regt", "BFPO 57", country]).lines == ("Cpl A", "1 Regt", "BFPO 57")


@pytest.mark.parametrize(
    ("island", "postcode"),
    [("Jersey", "JE2 3AB"), ("GUERNSEY", "GY1 1AA"), ("Isle of Man", "IM1 1AA"), ("I.O.M.", "IM1 1AA"),
     ("Sark", "GY10 1SF"), ("Alderney", "GY9 3UF"),
     ("Channel Islands", "JE2 3AB"), ("C.I.", "GY1 1AA"), ("The Isle of Man", "IM9 5AA")],
)  # fmt: skip
def test_the_islands_are_uk_post_and_their_name_stands_before_the_postcode(island: str, postcode: str) -> None:
    expected = ("1 High Street", "Town", island, postcode)
    for lines in (
        ["1 High Street", "Town", island, postcode],
        ["1 High Street", "Town", postcode, island],
        ["1 High Street", "Town", postcode, island, "U.K."],
        ["1 High Street", "Town", f"{postcode}, {island}"],
        ["1 High Street", "Town", island, postcode, island.upper()],
    ):
        address = PostalAddress.parse(lines)
        assert (address.lines, address.postcode) == (expected, postcode)
    assert PostalAddress.parse(["1 High Street", "Town", postcode]).lines == ("1 High Street", "Town", postcode)
    full = ["a1", "b", "c", "d", "e", "f", postcode]
    assert PostalAddress.parse([*full, island]).lines == tuple(full)
    with pytest.raises(BadAddress, match="last line must be a UK postcode"):
        PostalAddress.parse(["1 High Street", "Town", "NN1 1AA", island])


def test_what_is_invisible_around_a_line_is_trimmed_and_a_line_of_nothing_else_is_dropped() -> None:
    lines = ["\ufeff1 High Street\u200b", "\u200b", "\u00ad", "\u3164", "\u200eMarlow,\u200b", "\u200bSL7 1AB\u00ad "]
    assert PostalAddress.parse(lines).lines == ("1 High Street", "Marlow", "SL7 1AB")
    assert PostalAddress.parse(["1 می\u200cخواهم House", "x\u2028y", "SL7 1AB"]).lines[:2] == (
        "1 می\u200cخواهم House",
        "x y",
    )


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "empty"),
        (["", "  ", ","], "empty"),
        (["1 High Street", "NN1 1AA"], "3 to 7 lines; this one has 2"),
        (["a1", "b", "c", "d", "e", "f", "g", "NN1 1AA"], "3 to 7 lines; this one has 8"),
        (["1 High Street", "Northampton", "Northants"], "last line must be a UK postcode"),
        (["1 Rue Cler", "75007 Paris", "France"], "last line must be a UK postcode"),
        (["1 High Street", "NN1 1AA", "Northampton", "NN1 1AB"], "more than one postcode"),
        (["No Fixed Abode", "Northampton", "NN1 1AA"], "no fixed abode"),
        (["of no", "fixed address", "NN1 1AA"], "no fixed abode"),
        (["N.F.A.", "Northampton", "NN1 1AA"], "no fixed abode"),
        (["nfa", "Northampton", "NN1 1AA"], "no fixed abode"),
        (["[Flat 1]", "Northampton", "NN1 1AA"], "starts with one of"),
        (["/etc", "Northampton", "NN1 1AA"], "starts with one of"),
        (["1 High Street\nNorthampton", "x", "NN1 1AA"], "can't be printed"),
        (["1 High\u202eStreet", "Northampton", "NN1 1AA"], "can't be printed"),
        (["1 High\x00Street", "Northampton", "NN1 1AA"], "can't be printed"),
        (["1 High\ud800Street", "Northampton", "NN1 1AA"], "can't be printed"),
        (["-", "Northampton", "NN1 1AA"], "neither a letter nor a digit"),
        (["x" * (MAX_LINE_CHARACTERS + 1), "Northampton", "NN1 1AA"], "longer than 60 characters"),
        (["A", "BFPO 5", "BFPO 6"], "more than one BFPO number"),
        (["A", "BFPO 5", "NN1 1AA"], "starts with BF1"),
        ("1 High Street", "list of lines"),
    ],
)
def test_a_bad_address_says_which_rule_it_breaks(lines: list[str], words: str) -> None:
    with pytest.raises(BadAddress) as caught:
        PostalAddress.parse(lines)
    assert words in caught.value.reason


def test_a_letter_can_go_to_a_street_whose_name_only_resembles_no_fixed_abode() -> None:
    PostalAddress.parse(["1 Nfa Gardens", "Abode House", "NN1 1AA"])


def test_an_address_never_shows_itself_by_accident() -> None:
    assert "High" not in repr(PostalAddress.parse(["1 High Street", "Northampton", "NN1 1AA"]))


def test_lines_that_are_not_normal_cannot_pass_round_the_parser() -> None:
    with pytest.raises(BadAddress):
        PostalAddress(lines=("1 High Street ", "Northampton", "nn11aa"))
    with pytest.raises(BadAddress):
        PostalAddress(lines=("1 High Street", "Northampton", "Northants"))


_lines = st.lists(st.text(max_size=70), max_size=9)
_endings = st.sampled_from(
    [[], ["nn1 1aa"], ["SW1A1AA", "England"], ["BFPO 12"], ["bf10ax", "bfpo 3"], ["je23ab", "Jersey, C.I.", "U.K."]]
)


@given(lines=_lines, ending=_endings)
def test_whatever_is_typed_is_a_whole_address_or_a_reason_that_repeats_none_of_it(
    lines: list[str], ending: list[str]
) -> None:
    typed = lines + ending
    try:
        address = PostalAddress.parse(typed)
    except BadAddress as bad:
        said = bad.reason
    else:
        said = ""
    if said:
        assert said.endswith(".")
        assert not any(len(line) > 20 and line in said for line in typed)
        return
    assert 3 <= len(address.lines) <= 7
    assert all(line == line.strip() and "\n" not in line for line in address.lines)
    assert address.postcode or address.bfpo_number is not None
    assert PostalAddress.parse(address.lines) == address


@given(text=st.text(max_size=12))
def test_a_normal_postcode_stays_as_it_is(text: str) -> None:
    postcode = normalise_postcode(text)
    assert postcode is None or normalise_postcode(postcode) == postcode
