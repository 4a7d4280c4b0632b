"""Strict JSON, and bodies read to their end."""

from __future__ import annotations

import io
import json
import unicodedata
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Invalid, TooLarge
from shared.http.body import BodyReader, clean_text, parse_object

CLEAN = st.text(st.characters(exclude_categories=["Cs", "Cc"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | CLEAN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from("abcde"), VALUES))
def test_any_ordinary_object_is_read_as_it_was_written_in_nfc(value: dict[str, object]) -> None:
    read = parse_object(json.dumps(value).encode())
    assert json.dumps(read, sort_keys=True) == unicodedata_nfc(value)


def unicodedata_nfc(value: object) -> str:
    def clean(item: object) -> object:
        if isinstance(item, str):
            return unicodedata.normalize("NFC", item)
        if isinstance(item, list):
            return [clean(inner) for inner in item]
        if isinstance(item, dict):
            return {name: clean(inner) for name, inner in item.items()}
        return item

    return json.dumps(clean(value), sort_keys=True)


@given(st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_no_bytes_are_anything_but_an_object_or_invalid(raw: bytes) -> None:
    with suppress(Invalid):
        assert isinstance(parse_object(raw), dict)


@pytest.mark.parametrize(
    "raw",
    [
        '{"a": 1, "\\u0061": 2}',
        '{"a": {"b": 1, "b": 1}}',
        '{"a": Infinity}',
        '{"a": -Infinity}',
        '{"a": 1e400}',
        '{"a": 9007199254740993}',
        '{"a": -9007199254740993}',
        '{"a": "\\ud83d"}',
        '{"\\udc00": 1}',
        '{"a": "\\u0000"}',
        '{"a": ["\\u001b"]}',
        '{"a": "\\u0085"}',
        "{'a': 1}",
        '{"a": 1} {"b": 2}',
        '{"a": 1,}',
        "null",
        '{"a":' * 21 + "1" + "}" * 21,
        '{"a":' * 200_000,
    ],
)
def test_loose_json_is_refused(raw: str) -> None:
    with pytest.raises(Invalid):
        parse_object(raw.encode())


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ('{"title": "a\\u0000b"}', "title"),
        ('{"people": [{"family_name": "x"}, {"family_name": "\\u001b"}]}', "people.1.family_name"),
        ('{"Zoë Example": "\\u0000"}', "other"),
        ('{"a": {"\\u0000": 1}}', "a"),
        ('{"\\u0000": 1}', "body"),
    ],
)
def test_a_control_character_is_told_by_its_field_and_nothing_sent_is_repeated(raw: str, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_object(raw.encode())
    assert list(refused.value.errors) == [field]


def test_emoji_accents_and_line_breaks_pass() -> None:
    assert parse_object('{"a": "\\ud83d\\ude00 Zażółć\\r\\nß\\rx"}'.encode()) == {"a": "😀 Zażółć\nß\nx"}
    assert clean_text("e\u0301") == "é"
    assert parse_object(b'{"a": 9007199254740992}') == {"a": 2**53}


def test_a_byte_order_mark_before_json_is_passed_over() -> None:
    assert parse_object(b'\xef\xbb\xbf{"a": "\xc3\xa9"}') == {"a": "é"}
    assert parse_object('{"a": "\ufeffx"}'.encode()) == {"a": "\ufeffx"}
    for raw in (b"\xef\xbb\xbf", b'\xef\xbb\xbf\xef\xbb\xbf{"a": 1}', '{"a": 1}'.encode("utf-16"), b'\xff\xfe{"a": 1}'):
        with pytest.raises(Invalid):
            parse_object(raw)


def test_a_vertical_tab_is_read_as_a_line_separator() -> None:
    assert parse_object(b'{"a": "one\\u000btwo", "b": ["x\\u000b"]}') == {"a": "one\u2028two", "b": ["x\u2028"]}
    assert clean_text("one\vtwo") == "one\u2028two"


@given(st.binary(max_size=300_000), st.booleans(), st.integers(1, 400_000))
def test_a_body_is_read_to_its_end_and_no_further(raw: bytes, told: bool, size: int) -> None:
    reader = BodyReader(io.BytesIO(raw if not told else raw + b"next"), length=len(raw) if told else None, sock=None)
    assert b"".join(iter(lambda: reader.read(size), b"")) == raw
    assert reader.read() == b""


def test_a_body_that_ends_early_is_invalid_and_can_be_dropped() -> None:
    reader = BodyReader(io.BytesIO(b"half"), length=8, sock=None)
    with pytest.raises(Invalid):
        list(reader.pieces(limit=100, too_large=""))
    reader.drop_rest()


def test_a_body_past_its_limit_is_too_large_told_or_not() -> None:
    told = BodyReader(io.BytesIO(b"x" * 100), length=100, sock=None)
    with pytest.raises(TooLarge):
        next(iter(told.pieces(limit=99, too_large="")))
    assert told.length == 100
    told.drop_rest()
    assert told.length == 0
    untold = BodyReader(io.BytesIO(b"x" * 100), length=None, sock=None)
    with pytest.raises(TooLarge):
        list(untold.pieces(limit=99, too_large=""))
