"""What can be seen of a text, in every field that takes one."""

from __future__ import annotations

from contextlib import suppress

import marshmallow as ma
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.case import schemas as case_schemas
from services.case.model.people import checked
from services.case.schemas import disclosures as disclosure_schemas
from services.consent.schemas import consents, intake, office, requests, reviews
from services.document import schemas as document_schemas
from services.notifier import schemas as notifier_schemas
from shared.errors import Invalid
from shared.http import Body, Line, Text
from shared.text import has_something_visible, trimmed

NOTHING = ["\u200b", "\u00ad", "\u200b\u200c\u200d", "\ufeff \u2060", "\u3164", "\u115f", "\u2800", "\u180e", "\ufe0f",
           "\u202e", "\U000e0041", "\u00a0", "\u0308", "\ue000"]  # fmt: skip
MODULES = (
    case_schemas,
    disclosure_schemas,
    consents,
    intake,
    office,
    requests,
    reviews,
    document_schemas,
    notifier_schemas,
)
# Every field of every body that takes words.
WORDS = {
    f"{module.__name__}.{name}.{field}": declared
    for module in MODULES
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, Body)
    for field, declared in kind._declared_fields.items()
    if isinstance(declared, Line | Text)
}


@pytest.mark.parametrize("nothing", NOTHING)
def test_no_field_takes_a_text_with_nothing_visible_in_it(nothing: str) -> None:
    assert len(WORDS) > 40
    took = []
    for name, field in WORDS.items():
        with suppress(ma.ValidationError):
            field.deserialize(nothing)
            took.append(name)
    assert took == []


@pytest.mark.parametrize("nothing", NOTHING)
def test_a_name_with_nothing_visible_in_it_is_no_name(nothing: str) -> None:
    with pytest.raises(Invalid):
        checked({"given_name": nothing}, today=None, mail_takes_utf8=False)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["李", "-", "X Æ A-12", "می\u200cخواهم", "ශ්\u200dරී", "O’Brien", "😀", "\u0d05\u0d35\u0d28\u0d4d\u200d"]
)
def test_a_name_with_something_visible_is_kept_as_it_is(name: str) -> None:
    for around in ("", " ", "\u200b", "\u00ad", "\ufeff", "\u200e"):
        assert Line().deserialize(f"{around}{name}{around}") == name
        assert Text().deserialize(f"{around}{name}{around}") == name


def test_a_vertical_tab_is_a_line_break_in_free_text_and_a_space_in_a_line() -> None:
    # What `clean_text` makes of U+000B.
    assert Text().deserialize("one\u2028two\u2029three") == "one\ntwo\nthree"
    assert Line().deserialize("one\u2028two") == "one two"
    with pytest.raises(ma.ValidationError, match="one line"):
        Line().deserialize("one\ntwo")


@given(st.text(max_size=30))
def test_trimming_takes_nothing_visible_away_and_is_done_once(text: str) -> None:
    left = trimmed(text)
    assert trimmed(left) == left
    assert has_something_visible(left) == has_something_visible(text)
    assert left in text
