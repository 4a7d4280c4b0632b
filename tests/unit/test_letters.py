"""Letters and emails: what stands in them, for whom they can be read, and that values stay text."""

import io
import json
import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from typing import Any

import pikepdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notifier.letters import (
    TEMPLATES,
    BadValue,
    MissingValue,
    NotPrintable,
    Office,
    Recipient,
    UnknownFormat,
    UnknownTemplate,
    UnknownValue,
    latest_version,
    render_email,
    render_letter,
)
from services.notifier.letters.templates import ROOT, find_template
from services.notifier.letters.words import REGULATOR, breakable, clean

OFFICE = Office(
    name="Northvale SENDIASS",
    phone="01604 555 0199",
    email="office@northvale.example",
    address=("Guildhall Annexe", "2 Abington Row", "Northampton", "NN1 1AA"),
    controller="Northvale Council",
    dpo_contact="The Data Protection Officer, dpo@northvale.example",
    helpline="0808 555 0100, weekdays 9 to 4",
)
NOW = datetime(2026, 11, 22, 15, 30, tzinfo=UTC)
VALUES: dict[str, dict[str, Any]] = {
    "opening": {
        "reference": "MAPLE-4471",
        "opened_on": "2026-11-20",
        "purposes": [{"purpose": "casework"}, {"purpose": "contact", "party": "Elm Grove School"}],
    },
    "review": {"reference": "MAPLE-4471", "answer_before": "2026-12-20"},
    "review_reminder": {"reference": "MAPLE-4471", "answer_before": "2026-12-20"},
    "last": {"asked_on": "2026-11-20", "request": "019aa7c4-7d2e-7c1b-9f10-3a5d6c7e8f90"},
}
A_PARENT = Recipient(name="Zoë Łukasiewicz", address=("12 Stryd y Dŵr", "Northampton", "NN2 7AA"))
HOSTILE = [
    '#read("/etc/passwd")',
    '"); #panic("x") //',
    "*bold* _it_ $x^2$ `raw` <label> @ref \\ // /* [ ] { }",
    "{{ 7 * 7 }} {% include '/etc/passwd' %}",
    "<script>alert(1)</script>",
    "Ngũgĩ Nguyễn Thị Đặng",
    "עברית ועائشة",
    "\u202eesrever \x00 \u2028 e\u0301\u0323",
    "W" * 400,
]
UNPRINTABLE = ["ሰላም", "李", "さくら", "김", "ไทย", "ਪੰਜਾਬੀ", "বাংলা", "தமிழ்", "😀", "👍🏽", "ڕێ", "\ue000", "\U000f0000"]


def a_letter(template: str = "last", *, recipient: Recipient = A_PARENT, **changes: Any) -> bytes:
    options: dict[str, Any] = {"office": OFFICE, "recipient": recipient, "now": NOW}
    values = {**VALUES[template], **changes.pop("values", {})}
    version = changes.pop("version", latest_version(template))
    return render_letter(template, version, values, **{**options, **changes})


def an_email(template: str = "last", **changes: Any) -> Any:
    values = {**VALUES[template], **changes.pop("values", {})}
    options: dict[str, Any] = {"office": OFFICE, "recipient_name": "Zoë Łukasiewicz", "now": NOW}
    return render_email(template, latest_version(template), values, **{**options, **changes})


def words_of(pdf: bytes) -> list[str]:
    """The text of each page, through the fonts' own ToUnicode maps, as a reader's copy and paste gives it."""
    pages = []
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        for page in opened.pages:
            maps = {name: _to_unicode(font) for name, font in page.Resources.Font.items()}
            font, said = "", []
            for operands, operator in pikepdf.parse_content_stream(page):
                if str(operator) == "Tf":
                    font = str(operands[0])
                elif str(operator) in {"Tj", "TJ"}:
                    parts = operands[0] if str(operator) == "TJ" else operands
                    for part in parts:
                        if isinstance(part, pikepdf.String):
                            raw = bytes(part)
                            said += [maps[font].get(raw[i : i + 2], "") for i in range(0, len(raw), 2)]
                elif str(operator) in {"ET", "Td", "Tm", "T*"}:
                    said.append(" ")
            pages.append(" ".join("".join(said).split()))
    return pages


def _to_unicode(font: Any) -> dict[bytes, str]:
    cmap = font.ToUnicode.read_bytes().decode("ascii")
    found = {}
    for source, target in re.findall(r"<([0-9a-fA-F]{4})>\s*<([0-9a-fA-F]+)>", cmap):
        found[bytes.fromhex(source)] = bytes.fromhex(target).decode("utf-16-be", "replace")
    return found


class _Words(HTMLParser):
    """The text of a page and the tags in it, as a browser's parser sees them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_the_built_in_templates_are_there() -> None:
    assert {"opening": (1,), "last": (1, 2)}.items() <= dict(TEMPLATES).items()
    assert latest_version("last") == 2


@pytest.mark.parametrize("template", VALUES)
def test_a_letter_is_archivable_accessible_and_one_page(template: str) -> None:
    pdf = a_letter(template)
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        assert len(opened.pages) == 1
        assert [round(float(side)) for side in opened.pages[0].MediaBox] == [0, 0, 595, 842]
        assert opened.Root.OutputIntents[0].S == "/GTS_PDFA1"
        assert opened.Root.Lang == "en-GB"
        assert opened.Root.MarkInfo.Marked
        assert "/StructTreeRoot" in opened.Root
        assert opened.Root.ViewerPreferences.DisplayDocTitle
        assert all("/FontFile2" in d or "/FontFile3" in d for d in _font_descriptors(opened))
        with opened.open_metadata() as meta:
            assert meta["pdfaid:part"] == "2"
            assert meta["pdfaid:conformance"] == "B"
            assert meta["pdfuaid:part"] == "1"
            assert meta["dc:title"] == "A letter from Northvale SENDIASS"


def _font_descriptors(opened: pikepdf.Pdf) -> list[Any]:
    found = [o for o in opened.objects if isinstance(o, pikepdf.Dictionary) and o.get("/Type") == "/FontDescriptor"]
    assert found
    return found


@pytest.mark.parametrize("template", VALUES)
def test_a_letters_headings_are_headings_to_a_screen_reader(template: str) -> None:
    with pikepdf.open(io.BytesIO(a_letter(template))) as opened:
        kinds = [str(o.S) for o in opened.objects if isinstance(o, pikepdf.Dictionary) and "/S" in o and "/K" in o]
    assert kinds.count("/H1") == 1
    assert kinds.count("/H2") >= 3
    assert "/L" in kinds


@pytest.mark.parametrize("template", VALUES)
def test_p30_p31_every_letter_and_email_says_whom_to_call_and_where_to_complain(template: str) -> None:
    email = an_email(template)
    for text in (" ".join(words_of(a_letter(template))), one_line(email.text), one_line(_Words(email.html).text)):
        said = re.sub(r"\s+", "", text)
        for part in (
            *(OFFICE.name, OFFICE.phone, OFFICE.email, ", ".join(OFFICE.address), OFFICE.controller),
            *(OFFICE.dpo_contact, OFFICE.helpline, *REGULATOR.values()),
        ):
            assert re.sub(r"\s+", "", part) in said, part


def test_the_opening_letter_says_what_was_agreed_to_and_how_to_be_forgotten() -> None:
    email = an_email("opening")
    for text in (words_of(a_letter("opening"))[0], one_line(email.text), one_line(_Words(email.html).text)):
        said = re.sub(r"\s+", "", text)
        for part in (
            *("MAPLE-4471", "20 November 2026", "We may contact Elm Grove School for you."),
            *("To be forgotten: we erase it all within two working days.", "To take back your consent"),
            *("Once a year we write to remind you", "22 November 2026" if text != one_line(email.text) else ""),
        ):
            assert part.replace(" ", "") in said, part


@pytest.mark.parametrize("template", ["review", "review_reminder"])
def test_p21_a_review_says_that_we_hold_a_file_what_they_can_ask_and_by_when(template: str) -> None:
    email = an_email(template)
    for text in (words_of(a_letter(template))[0], one_line(email.text), one_line(_Words(email.html).text)):
        said = re.sub(r"\s+", "", text)
        for part in (
            *("MAPLE-4471", "we still hold", "you can ask to be forgotten", "before 20 December 2026"),
            *("tell us that we may go on", "tell us to forget you", "There is no form to fill in"),
        ):
            assert part.replace(" ", "") in said, part


def test_the_last_letter_says_what_was_done_what_remains_and_how_to_have_it_proven() -> None:
    email = an_email("last")
    for text in (words_of(a_letter("last"))[0], one_line(email.text), one_line(_Words(email.html).text)):
        said = re.sub(r"\s+", "", text)
        for part in (
            *("On 20 November 2026 we were asked to erase the case file", "found nothing left"),
            *("The certificate of this erasure lists what remains", "your address are destroyed"),
            *("unless one could not be found", VALUES["last"]["request"]),
        ):
            assert part.replace(" ", "") in said, part
        # It is written before anybody knows what became of paper, and no certificate is printed in it.
        assert not [part for part in ("Itisdone", "certificatebelow") if part in said]


def test_a_version_that_was_sent_is_still_there() -> None:
    assert "It is done." in words_of(a_letter("last", version=1))[0]


@pytest.mark.parametrize("template", VALUES)
def test_p18_a_subject_names_neither_a_person_nor_a_reason(template: str) -> None:
    assert an_email(template).subject == "A letter for you"


A_LONG_ADDRESS = Recipient(
    name="Maximiliana Wilhelmina Featherstonehaugh-Cholmondeley-Wriothesley",
    address=(*(("Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch",) * 6), "LL61 5UJ"),
)


@pytest.mark.parametrize("template", VALUES)
@pytest.mark.parametrize("formats", [(), ("large_print",)])
@pytest.mark.parametrize("recipient", [A_PARENT, A_LONG_ADDRESS])
def test_p18_only_the_address_shows_through_the_window(
    template: str, formats: tuple[str, ...], recipient: Recipient
) -> None:
    pdf = a_letter(template, formats=formats, recipient=recipient)
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        page = opened.pages[0]
        maps = {name: _to_unicode(font) for name, font in page.Resources.Font.items()}
        seen, font, lowest = "", "", 0.0
        for x, y, operands, operator in _placed(page):
            if operator == "Tf":
                font = str(operands[0])
            if operator in {"Tj", "TJ"} and 10 <= x <= 112 and 44 <= y <= 94:
                lowest = max(lowest, y)
                parts = operands[0] if operator == "TJ" else operands
                for part in (one for one in parts if isinstance(one, pikepdf.String)):
                    raw = bytes(part)
                    seen += "".join(maps[font].get(raw[i : i + 2], "") for i in range(0, len(raw), 2))
    assert seen.replace(" ", "") == "".join([recipient.name, *recipient.address]).replace(" ", "")
    assert lowest < 82


def _placed(page: Any) -> Any:
    """Each text operator with where it starts on the sheet: millimetres from its left and its top."""
    here, stack, text = pikepdf.Matrix(), [], pikepdf.Matrix()
    for operands, operator in pikepdf.parse_content_stream(page):
        name = str(operator)
        if name == "q":
            stack.append(here)
        elif name == "Q":
            here = stack.pop()
        elif name == "cm":
            here = pikepdf.Matrix(*(float(one) for one in operands)) @ here
        elif name == "Tm":
            text = pikepdf.Matrix(*(float(one) for one in operands))
        at = text @ here
        yield at.e * 25.4 / 72, 297 - at.f * 25.4 / 72, operands, name


def test_the_name_stands_in_the_window_once_when_the_address_starts_with_it() -> None:
    recipient = Recipient(name="Zoë Example", address=("ZOË EXAMPLE", "1 High Street", "NN1 1AA"))
    assert recipient.window_lines() == ["ZOË EXAMPLE", "1 High Street", "NN1 1AA"]


def test_the_same_input_gives_the_same_bytes() -> None:
    assert a_letter() == a_letter()
    assert a_letter() != a_letter(now=NOW + timedelta(days=1))


def test_a_letter_is_dated_by_the_day_in_london() -> None:
    late = datetime(2026, 7, 1, 23, 30, tzinfo=UTC)
    east = late.astimezone(timezone(timedelta(hours=9)))
    assert "2 July 2026" in words_of(a_letter(now=late))[0]
    assert a_letter(now=late) == a_letter(now=east)
    with pytest.raises(ValueError, match="time zone"):
        a_letter(now=datetime(2026, 7, 1, 23, 30))  # noqa: DTZ001


def test_letters_made_at_once_are_the_same_as_one_by_one() -> None:
    names = [f"Person {number}" for number in range(24)]
    people = [Recipient(name=name, address=A_PARENT.address) for name in names]
    with ThreadPoolExecutor(8) as hands:
        made = list(hands.map(lambda one: a_letter(recipient=one), people))
    assert made == [a_letter(recipient=one) for one in people]


def test_large_print_is_at_least_eighteen_points_on_more_pages() -> None:
    pages = words_of(a_letter(formats=("large_print",)))
    assert len(pages) > 1
    assert f"Page 1 of {len(pages)}" in pages[0]
    with pytest.raises(UnknownFormat):
        a_letter(formats=("braille",))


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("formats", [(), ("large_print",)])
def test_whatever_a_value_contains_it_is_printed_as_text(hostile: str, formats: tuple[str, ...]) -> None:
    recipient = Recipient(name=hostile, address=("1 High Street", "Northampton", "NN1 1AA"))
    pdf = a_letter(recipient=recipient, values={"request": hostile}, formats=formats)
    said = re.sub(r"\s|\u200b|Page \d of \d", "", "".join(words_of(pdf)))
    if hostile.isascii() and "\x00" not in hostile:
        shown = 3 if len(hostile) < 90 else 2  # the window shows the beginning of a name beyond all measure
        assert said.count(hostile.replace(" ", "")) == shown
    assert "root:x:0" not in said
    assert "\u25a1" not in said


@pytest.mark.parametrize(
    "name", ["Zażółć Gęślą", "Nguyễn Thị Đặng", "Ŵyn Ŷstwyth", "Ñandú Øster Þór", "Ιωάννα", "Олена"]
)
def test_names_are_printed_with_their_accents(name: str) -> None:
    assert f"Dear {name}," in words_of(a_letter(recipient=Recipient(name=name, address=A_PARENT.address)))[0]


@pytest.mark.parametrize(
    "name", ["عائشة", "محمد پروین", "סבטלנה", "ქეთევან", "Արմեն", "नेपाली", "Ngũgĩ wa Thiong’o ʻOkina", "❤️ Zoë"]
)
def test_a_name_in_a_script_that_a_font_has_is_printed(name: str) -> None:
    said = words_of(a_letter(recipient=Recipient(name=name, address=A_PARENT.address)))[0]
    assert "\u25a1" not in said
    assert "\ufffd" not in said


@pytest.mark.parametrize("unprintable", UNPRINTABLE)
@pytest.mark.parametrize("formats", [(), ("large_print",)])
def test_a_letter_with_a_character_that_no_font_has_is_not_made(unprintable: str, formats: tuple[str, ...]) -> None:
    name, address = f"Zoë {unprintable}", (f"1 {unprintable} Street", "Northampton", "NN1 1AA")
    for recipient in (Recipient(name=name, address=A_PARENT.address), Recipient(name="Zoë", address=address)):
        with pytest.raises(NotPrintable) as refused:
            a_letter(recipient=recipient, formats=formats)
        assert unprintable not in str(refused.value)
    purposes = [{"purpose": "casework"}, {"purpose": "contact", "party": f"School {unprintable}"}]
    for values in ({"reference": f"R {unprintable}"}, {"purposes": purposes}):
        with pytest.raises(NotPrintable):
            a_letter("opening", values=values, formats=formats)
    # An email carries every script.
    if unprintable not in "\U000f0000\ue000":
        assert unprintable in an_email("last", recipient_name=name).text


def test_what_the_office_is_called_holds_no_letter() -> None:
    said = words_of(a_letter(office=replace(OFFICE, name="Northvale 😀")))[0]
    assert "Northvale \u25a1" in said


@given(text=st.text(max_size=60))
@settings(max_examples=40, deadline=None)
def test_any_text_is_printed_or_is_not_printable(text: str) -> None:
    recipient = Recipient(name="Zoë " + text, address=(text, "Northampton", "NN1 1AA"))
    with suppress(NotPrintable):
        pdf = a_letter("opening", recipient=recipient, values={"reference": "R " + text})
        assert pdf.startswith(b"%PDF-")
        assert "\u25a1" in text or "\u25a1" not in "".join(words_of(pdf))


@pytest.mark.parametrize("hostile", [*HOSTILE, "😀 ไทย 中文", "\ud800 \ufffe"])
def test_whatever_a_value_contains_it_is_text_in_an_email(hostile: str) -> None:
    plain = an_email("last")
    email = an_email("last", values={"request": hostile}, recipient_name=hostile)
    assert _Words(email.html).tags == _Words(plain.html).tags
    assert clean(hostile) in _Words(email.html).text
    assert clean(hostile) in email.text
    assert email.text.count("\n") == plain.text.count("\n")
    email.text.encode("utf-8")


def test_a_missing_blank_unfit_or_unknown_value_names_its_field_and_not_its_value() -> None:
    for make in (a_letter, an_email):
        with pytest.raises(MissingValue, match="request"):
            make(values={"request": None})
        with pytest.raises(MissingValue, match="request"):
            make(values={"request": " \x00 "})
        with pytest.raises(MissingValue, match="purposes"):
            make("opening", values={"purposes": []})
        for bad in ({"asked_on": "Zed"}, {"asked_on": True}, {"request": 7}):
            with pytest.raises(BadValue) as caught:
                make(values=bad)
            assert "Zed" not in str(caught.value)
        with pytest.raises(BadValue, match="purposes"):
            make("opening", values={"purposes": [{"purpose": "marketing"}]})
        with pytest.raises(UnknownValue, match="childs_name"):
            make(values={"childs_name": "Zed"})


@pytest.mark.parametrize(("name", "version"), [("opening", 99), ("_house", 1), ("../letters/opening", 1), ("", 1)])
def test_what_is_no_template_is_unknown(name: str, version: int) -> None:
    with pytest.raises(UnknownTemplate):
        find_template(name, version)


def test_every_template_is_whole_and_fetches_nothing_from_outside() -> None:
    for name, versions in TEMPLATES.items():
        for version in versions:
            files = {file.name for file in (ROOT / name / str(version)).iterdir()}
            assert files == {"fields.toml", "letter.typ", "email.txt", "email.html", "subject.txt"}
    for file in [*ROOT.rglob("*.typ"), *ROOT.rglob("*.html")]:
        source = file.read_text("utf-8")
        assert "@preview" not in source
        assert not re.search(r"<(img|script|link|iframe)\b|\bread\(|url\(", source), file


def test_people_and_mail_never_show_themselves_by_accident() -> None:
    assert "Zoë" not in repr(A_PARENT)
    assert "Zoë" not in repr(an_email())


def test_a_long_word_can_break_and_an_id_stays_whole() -> None:
    assert breakable("x" * 45).split("\u200b") == ["x" * 20, "x" * 20, "x" * 5]
    assert breakable(VALUES["last"]["request"]) == VALUES["last"]["request"]


def test_cleaning_leaves_one_line_that_json_and_mail_can_carry() -> None:
    said = clean("a\r\nb\u202ec\ud800 e\u0301")
    assert said == "a bc\u25a1 \u00e9"
    json.dumps(said).encode()
    assert unicodedata.is_normalized("NFC", said)
