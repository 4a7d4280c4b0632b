"""Telephone numbers: the one form in which two ways to write a number are the same."""

from __future__ import annotations

import pytest

from services.case.model.people import checked
from services.case.model.search import phone_key
from shared.uk.phones import BadPhone, to_e164


@pytest.mark.parametrize(
    "typed",
    [
        "18001 07700 900123", "18001-07700-900123", "1800107700900123", "(18001) 07700 900123", "18001+44 7700 900123",
        "18001 0044 7700 900123", "18001 (0)7700 900123", "18001 7700 900123", "18002 07700 900123",
        "18001, then 07700 900123", "\u200b18001 07700 900123\u00ad", "07700 900123",
    ],
)  # fmt: skip
def test_a_number_with_relay_uks_prefix_is_kept_as_typed_and_found_as_the_number_that_it_calls(typed: str) -> None:
    assert phone_key(typed) == "+447700900123"
    kept = checked({"phone": typed}, today=None, mail_takes_utf8=False)["phone"]  # type: ignore[arg-type]
    assert kept == typed.strip("\u200b\u00ad")


def test_a_number_that_only_begins_like_the_prefix_stays_what_it_is() -> None:
    assert to_e164("1800112345") == "+441800112345"
    assert to_e164("+1 800 123 4567") == "+18001234567"


@pytest.mark.parametrize(
    "typed", ["18001 07700 900123 900123 900123", "", "18001 18001 07700 900123", "+", "ask", "18001", "(18002)"]
)
def test_the_prefix_makes_no_number_of_what_is_none(typed: str) -> None:
    with pytest.raises(BadPhone):
        to_e164(typed)
