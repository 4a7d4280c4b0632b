"""The blank consent pack: the statement in force, a form for whoever agrees, and nobody's name."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import pikepdf
import pytest

from services.notifier.letters import Statement, UnknownFormat, render_pack
from services.notifier.letters.pack import parts_of
from tests.unit.test_letters import HOSTILE, NOW, OFFICE, words_of

TEXT = (Path(__file__).parents[2] / "services/consent/statements/1.md").read_text("utf-8")
STATEMENT = Statement(version="1", text=TEXT, sha256=hashlib.sha256(TEXT.encode()).hexdigest())


def a_pack(**changes: Any) -> bytes:
    statement = changes.pop("statement", STATEMENT)
    return render_pack(statement, **{"office": OFFICE, "now": NOW, **changes})


def text_of(pdf: bytes) -> str:
    return " ".join(words_of(pdf)).replace("\u200b", "")


@pytest.mark.parametrize("formats", [(), ("large_print",), ("easy_read",)])
def test_it_is_archivable_and_accessible(formats: tuple[str, ...]) -> None:
    with pikepdf.open(io.BytesIO(a_pack(formats=formats))) as opened:
        assert opened.Root.OutputIntents[0].S == "/GTS_PDFA1"
        assert opened.Root.Lang == "en-GB"
        assert opened.Root.MarkInfo.Marked
        assert "/StructTreeRoot" in opened.Root
        assert opened.Root.ViewerPreferences.DisplayDocTitle
        for page in opened.pages:
            assert [round(float(side)) for side in page.MediaBox] == [0, 0, 595, 842]
        with opened.open_metadata() as meta:
            assert (meta["pdfaid:part"], meta["pdfuaid:part"]) == ("2", "1")
            assert OFFICE.name in str(meta["dc:title"])


def test_it_has_every_word_of_the_statement_its_version_and_its_hash() -> None:
    said = text_of(a_pack())
    squeezed = "".join(said.split())
    # In one piece, so that it can be copied
    assert STATEMENT.sha256 in said
    for part in parts_of(TEXT):
        assert "".join("".join(run["text"] for run in part["runs"]).split()) in squeezed
    assert "Privacy statement, version 1" in said
    # Nothing of it was left out but its title and the marks around what is strong
    words = "".join(TEXT.partition("\n")[2].replace("**", "").split())
    assert words == "".join("".join(run["text"] for run in part["runs"]) for part in parts_of(TEXT)).replace(" ", "")


@pytest.mark.parametrize("formats", [(), ("large_print",)])
def test_the_form_asks_all_that_a_consent_is_and_says_how_to_take_it_back(formats: tuple[str, ...]) -> None:
    said = text_of(a_pack(formats=formats))
    for asked in (
        "A case file.",
        "You may contact these organisations",
        "You may ask these organisations for copies",
        "Sharing what is in the file",
        "You may write to us by email",
        "Your full name:",
        "parental responsibility",
        "young person",
        "child",
        "someone else",
        "before I signed this",
        "Read on (date):",
        "Signed on (date):",
        "Signature:",
        "You can take back all of this, or a part, at any time",
        f"Send this form to {OFFICE.name}, {', '.join(OFFICE.address)}",
        OFFICE.controller,
        OFFICE.dpo_contact,
        OFFICE.helpline,
        "Information Commissioner",
    ):
        assert asked in said, asked


def test_the_form_is_a_page_of_its_own_so_that_the_statement_stays_with_the_family() -> None:
    statement, form = words_of(a_pack())
    assert "Your rights." in statement
    assert "If you change your mind" in statement
    assert form.startswith("Your consent")
    assert "Page 2 of 2" in form


def test_large_print_is_large_and_the_same_input_gives_the_same_bytes() -> None:
    assert len(words_of(a_pack(formats=("large_print",)))) > len(words_of(a_pack()))
    assert a_pack() == a_pack()
    with pytest.raises(UnknownFormat):
        a_pack(formats=("braille",))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_statement_is_text_whatever_it_contains(text: str) -> None:
    statement = Statement(version="2", text=f"# T\n\n**{text}** and {text}\n\n- one\n- {text}\n", sha256="ab" * 32)
    assert "and" in text_of(a_pack(statement=statement))


def test_headings_items_and_strong_words_are_read_and_the_rest_is_words() -> None:
    parts = parts_of("# Title\n\n## Part\n\nA **b c** d_e_\nf\n\n- one\n  more\n- **two**\n")
    assert [(part["kind"], [(run["text"], run["strong"]) for run in part["runs"]]) for part in parts] == [
        ("heading", [("Part", False)]),
        ("paragraph", [("A ", False), ("b c", True), (" d_e_ f", False)]),
        ("item", [("one more", False)]),
        ("item", [("two", True)]),
    ]
