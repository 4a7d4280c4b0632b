"""Plain text in the encodings that are taken, and what is none."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.document.parsing.errors import Other, Reason, Unreadable, UnsupportedType
from services.document.parsing.inspection import Inspection
from services.document.parsing.media_types import TEXT
from tests.unit.parsing_rig import Look, look_in

WORDS = "Dear Zoë,\r\n\tŁukasz will call – “soon”.\r\n\f"


@pytest.fixture
def look(tmp_path: Path) -> Look:
    return look_in(tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"Just some words, called .pdf",
        WORDS.encode(),
        WORDS.encode("utf-8-sig"),
        WORDS.encode("utf-16"),
        b"\xfe\xff" + WORDS.encode("utf-16-be"),
        WORDS.replace("Ł", "L").encode("cp1252"),
        b"ends in an accent, as old programs write it: caf\xe9",
        b"an old file's end mark\r\n\x1a",
        b"#!/bin/sh\necho it is kept as it is, and never run\n",
        b"name,date of birth\nZo,2015-01-01\n",
        "Ζωή, Зоя, 佐江 \U0001f600".encode(),
        b"words " * 200_000 + "Zoë".encode(),
        ("ë" * 300_001).encode(),  # characters across the pieces it is read in
    ],
    ids=lambda data: ascii(data[:20]),
)
def test_a_text_is_known_and_has_no_pages(look: Look, data: bytes) -> None:
    assert look(data) == Inspection(media_type=TEXT, pages=None)


@pytest.mark.parametrize(
    "data",
    [b"words\0", b"\0", b"bell \x07", b"\x1b[31mred", b"early end \x1a of file", b"\xff\xd8", b"\x81\x8d words",
     WORDS.encode("utf-32"), random.Random(1).randbytes(4_000), b"MZ" + bytes(100), b"\x7fELF" + bytes(60),
     b"GIF89a" + bytes(50), b"%!PS-Adobe-3.0\n", "Ζωή μου".encode("iso-8859-7"),
     b"<?xml version='1.0'?><a/>", b"<svg xmlns='http://www.w3.org/2000/svg'/>"],
    ids=lambda data: ascii(data[:20]),
)  # fmt: skip
def test_what_is_no_text_is_unsupported(look: Look, data: bytes) -> None:
    with pytest.raises(UnsupportedType) as caught:
        look(data)
    assert "plain text" in caught.value.detail


@pytest.mark.parametrize(
    ("data", "other"),
    [
        (b"{\\rtf1\\ansi words}", Other.RTF),
        (b"<!DOCTYPE html><html>", Other.WEB_PAGE),
        (b"\n <!-- saved --><HTML>", Other.WEB_PAGE),
        (b"<script>alert(1)</script>", Other.WEB_PAGE),
    ],
)
def test_what_is_made_of_text_and_has_a_kind_of_its_own_is_named(look: Look, data: bytes, other: Other) -> None:
    with pytest.raises(UnsupportedType) as caught:
        look(data)
    assert caught.value.other is other
    assert "PDF" in caught.value.detail


@pytest.mark.parametrize(
    "data",
    ["Zoë ë".encode()[:-1], WORDS.encode("utf-16")[:-1], b"\xef\xbb\xbf" + "ë".encode()[:-1]],
)
def test_a_text_that_ends_inside_a_character_is_broken(look: Look, data: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        look(data)
    assert caught.value.reason is Reason.BROKEN


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1),
    mark=st.sampled_from(["utf-8-sig", "utf-16"]),
)
def test_any_words_with_their_mark_are_text(look: Look, words: str, mark: str) -> None:
    assert look(words.encode(mark)).media_type == TEXT
