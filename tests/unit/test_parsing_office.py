"""Office documents: each kind known by its main part, whole or refused; and that no archive is a bomb."""

from __future__ import annotations

import io
import random
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.document.parsing import archive
from services.document.parsing.errors import Other, Reason, UnsupportedType
from services.document.parsing.inspection import Inspection
from services.document.parsing.media_types import DOCM, DOCX, ODT, XLSM, XLSX
from shared.errors import Problem
from tests import samples, samples_office
from tests.samples_office import odt, open_xml, overlapping, with_descriptors, with_zip64, zipped
from tests.unit.parsing_rig import Look, look_in, reason, status

GOOD: dict[str, tuple[bytes, str]] = {
    "docx, python-docx": (samples_office.docx_by_python(), DOCX),
    "docx": (open_xml(), DOCX),
    "docx, stored": (open_xml(kind=zipfile.ZIP_STORED), DOCX),
    "docx, strict": (open_xml(strict=True), DOCX),
    "docx, type by extension": (open_xml(by_default=True), DOCX),
    "docx, with a slash": (open_xml(absolute=True), DOCX),
    "docx, sizes behind": (with_descriptors(open_xml()), DOCX),
    "docx, zip64": (with_zip64(open_xml()), DOCX),
    "docx, a name in UTF-8": (open_xml(more={"word/media/Zoë Łukasińska.png": samples.png()}), DOCX),
    "xlsx, openpyxl": (samples_office.xlsx_by_python(), XLSX),
    "xlsx": (open_xml(XLSX), XLSX),
    "odt": (odt(), ODT),
    "odt, with a chart": (odt(more={"Object 1/content.xml": "<x/>", "styles.xml": "<x/>"}), ODT),
}
WARNED: dict[str, tuple[bytes, str, tuple[str, ...]]] = {
    "docm": (open_xml(DOCM), DOCM, ("macros",)),
    "xlsm": (open_xml(XLSM), XLSM, ("macros",)),
    "docx with a macro": (open_xml(more={"word/vbaProject.bin": b"x"}), DOCX, ("macros",)),
    "xlsx with an old macro sheet": (
        open_xml(
            XLSX,
            more={"xl/macrosheets/a.xml": "<x/>"},
            types=[("xl/macrosheets/a.xml", "application/vnd.ms-excel.macrosheet+xml")],
        ),
        XLSX,
        ("macros",),
    ),
    "odt with a macro": (odt(more={"Basic/Standard/Module1.xml": "<x/>"}), ODT, ("macros",)),
    "odt with a script": (odt(more={"Scripts/python/a.py": "print()"}), ODT, ("macros",)),
    "odt with an object": (odt(more={"Object 1": b"x"}), ODT, ("embedded_files",)),
    "docx with a table inside": (
        open_xml(more={"word/embeddings/a.xlsx": samples_office.xlsx_by_python()}), DOCX, ("embedded_files",)
    ),
    "docx with an object": (open_xml(more={"word/embeddings/oleObject1.bin": b"x"}), DOCX, ("embedded_files",)),
    "docx with a file in it": (open_xml(more={"customXml/a.bin": samples.zip_archive()}), DOCX, ("embedded_files",)),
    "docx with a template elsewhere": (
        open_xml(related=[("attachedTemplate", "https://example.org/a.dotm", True)]), DOCX, ("external_content",)
    ),
    "docx with a picture on a share": (
        open_xml(related=[("image", r"\\server\a.png", True)]), DOCX, ("external_content",)
    ),
    "odt with a picture elsewhere": (
        odt(content='<a xmlns:x="http://www.w3.org/1999/xlink"><image x:href="https://example.org/a.png"/></a>'),
        ODT,
        ("external_content",),
    ),
    "docx behind an archive": (samples.zip_archive() + open_xml(), DOCX, ("trailing_archive",)),
}  # fmt: skip


@pytest.fixture
def look(tmp_path: Path) -> Look:
    return look_in(tmp_path)


def other(look: Look, data: bytes) -> Other | None:
    with pytest.raises(UnsupportedType) as caught:
        look(data)
    return caught.value.other


@pytest.mark.parametrize("name", GOOD)
def test_a_whole_document_is_known_by_its_main_part_and_has_no_pages(look: Look, name: str) -> None:
    data, media_type = GOOD[name]
    assert look(data) == Inspection(media_type=media_type, pages=None)


@pytest.mark.parametrize("name", WARNED)
def test_what_acts_hides_or_lies_elsewhere_is_a_warning(look: Look, name: str) -> None:
    data, media_type, warnings = WARNED[name]
    assert look(data) == Inspection(media_type=media_type, pages=None, warnings=warnings)


@pytest.mark.parametrize(
    "related",
    [("hyperlink", "https://example.org", True), ("attachedTemplate", "file:///C:\\Users\\me\\Normal.dotm", True)],
)
def test_a_link_and_the_writers_own_template_are_no_warning(look: Look, related: tuple[str, str, bool]) -> None:
    assert look(open_xml(related=[related])).warnings == ()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(GOOD)), share=st.floats(0.0, 1.0, exclude_max=True))
def test_a_document_cut_anywhere_is_refused(look: Look, name: str, share: float) -> None:
    data = GOOD[name][0]
    with pytest.raises(Problem) as caught:
        look(data[: max(16, int(len(data) * share))])
    assert caught.value.status in (415, 422)


@pytest.mark.parametrize("name", GOOD)
def test_half_a_document_is_broken(look: Look, name: str) -> None:
    assert reason(look, samples.truncated(GOOD[name][0])) is Reason.BROKEN
    assert reason(look, GOOD[name][0][:-1]) is Reason.BROKEN


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted({**GOOD, **WARNED})), seed=st.integers(0, 10**6), size=st.integers(1, 200))
def test_a_damaged_document_is_taken_or_refused_and_nothing_else(look: Look, name: str, seed: int, size: int) -> None:
    data, chance = bytearray({**GOOD, **WARNED}[name][0]), random.Random(seed)
    place = chance.randrange(len(data))
    data[place : place + size] = chance.randbytes(min(size, len(data) - place))
    assert status(look, bytes(data)) in (201, 415, 422)


def test_a_part_whose_checksum_is_wrong_is_broken(look: Look) -> None:
    data = bytearray(open_xml(more={"word/media/a.bin": bytes(range(256)) * 4}, kind=zipfile.ZIP_STORED))
    data[data.index(bytes(range(256)))] ^= 1
    assert reason(look, bytes(data)) is Reason.BROKEN


def test_a_document_without_its_main_part_is_broken(look: Look) -> None:
    data = open_xml()
    with zipfile.ZipFile(io.BytesIO(data)) as whole:
        parts = {name: whole.read(name) for name in whole.namelist() if name != "word/document.xml"}
    assert reason(look, zipped(parts)) is Reason.BROKEN
    assert reason(look, open_xml(main="<document>")) is Reason.BROKEN


# What isn't taken


@pytest.mark.parametrize(
    "data",
    [
        samples.zip_archive(),
        zipped({"META-INF/MANIFEST.MF": "Manifest-Version: 1.0", "Main.class": b"\xca\xfe\xba\xbe"}),
        zipped({"mimetype": "application/epub+zip", "OEBPS/content.opf": "<x/>"}),
        odt(mimetype="application/vnd.oasis.opendocument.presentation"),
        open_xml(samples_office.PPTX),
        zipped({"word/document.xml": "<x/>"}),
        samples.truncated(samples.zip_archive()),
        b"MZ" + bytes(200) + open_xml(),
    ],
    ids=["zip", "jar", "epub", "odp", "pptx", "half a package", "half a zip", "exe"],
)
def test_any_other_archive_is_unsupported(look: Look, data: bytes) -> None:
    assert other(look, data) is None


@pytest.mark.parametrize(
    ("streams", "said"),
    [
        (("1Table", "WordDocument"), Other.OLD_WORD),
        (("Workbook",), Other.OLD_EXCEL),
        (("Book",), Other.OLD_EXCEL),
        (("PowerPoint Document",), Other.OLD_POWERPOINT),
        (("__properties_version1.0",), Other.OUTLOOK),
        (("Something",), None),
    ],
)
def test_an_old_office_file_is_unsupported_by_its_name(
    look: Look, streams: tuple[str, ...], said: Other | None
) -> None:
    assert other(look, samples_office.compound(*streams)) is said


def test_a_document_under_a_password_is_locked(look: Look) -> None:
    assert reason(look, samples_office.compound("EncryptedPackage", "EncryptionInfo")) is Reason.LOCKED
    locked = '<m xmlns:x="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"><x:encryption-data/></m>'
    assert reason(look, odt(manifest=locked)) is Reason.LOCKED
    data = bytearray(open_xml())
    for place in (place for place in range(len(data)) if data.startswith(b"PK\x01\x02", place)):
        data[place + 8] |= 1
    assert reason(look, bytes(data)) is Reason.LOCKED


# What is too much, or made to deceive


def test_a_bomb_is_too_much_in_little_time_and_memory(look: Look) -> None:
    began = time.process_time()
    bomb = open_xml(more={f"word/media/{n}.bin": bytes(40_000_000) for n in range(8)})
    built = time.process_time()
    assert reason(look, bomb) is Reason.TOO_MUCH
    assert time.process_time() - built < 5
    assert built >= began


def test_a_zip_in_a_zip_in_a_document_is_too_much(look: Look) -> None:
    inner = zipped({"a.zip": zipped({"b.txt": "words"})})
    for name in ("word/embeddings/a.bin", "a.zip"):
        assert reason(look, open_xml(more={name: inner})) is Reason.TOO_MUCH
        assert reason(look, odt(more={name: inner})) is Reason.TOO_MUCH


def test_what_an_archive_in_a_document_unfolds_to_counts_too(look: Look) -> None:
    inner = zipped({f"{n}.bin": bytes(30_000_000) for n in range(6)})
    assert reason(look, open_xml(more={"word/a.zip": inner})) is Reason.TOO_MUCH
    large = zipped({"a.bin": random.Random(1).randbytes(33 * 1024 * 1024)}, kind=zipfile.ZIP_STORED)
    assert reason(look, open_xml(more={"word/a.zip": large})) is Reason.TOO_MUCH


def test_too_many_entries_are_too_much_before_they_are_read(look: Look) -> None:
    many = {f"word/{n}": b"" for n in range(archive.MOST_ENTRIES)}
    assert reason(look, open_xml(more=many)) is Reason.TOO_MUCH


@pytest.mark.parametrize("name", ["docx", "odt", "xlsx, openpyxl"])
def test_entries_that_overlap_are_broken(look: Look, name: str) -> None:
    assert reason(look, overlapping(GOOD[name][0])) is Reason.BROKEN


def test_two_parts_of_one_name_are_broken(look: Look) -> None:
    out = io.BytesIO(open_xml())
    with zipfile.ZipFile(out, "a") as more, pytest.warns(UserWarning, match="Duplicate"):
        more.writestr("word/document.xml", "<another/>")
    assert reason(look, out.getvalue()) is Reason.BROKEN


def test_a_document_that_declares_entities_is_refused_unopened(look: Look) -> None:
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<!DOCTYPE x [<!ENTITY a0 "ha">{laughs}]><x>&a11;</x>'
    outside = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'
    for main in (bomb, outside):
        assert reason(look, open_xml(main=main)) is Reason.BROKEN
        assert reason(look, odt(content=main)) is Reason.BROKEN


def test_elements_inside_one_another_without_end_are_too_much(look: Look) -> None:
    assert reason(look, open_xml(main="<a>" * 5_000 + "</a>" * 5_000)) is Reason.TOO_MUCH


def test_an_old_programs_doctype_is_taken(look: Look) -> None:
    old = '<!DOCTYPE manifest PUBLIC "-//OpenOffice.org//DTD Manifest 1.0//EN" "Manifest.dtd"><manifest/>'
    assert look(odt(manifest=old)).media_type == ODT


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "C:\\a", "word/../../a", "a\0b"])
def test_a_parts_name_is_never_a_path(look: Look, name: str) -> None:
    assert look(open_xml(more={name: b"x"})).media_type == DOCX
