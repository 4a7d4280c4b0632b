"""The raw search finds words in every form, at every place in a file, and files that have no name any more."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.places import Places, places
from deploy.ops.finder import Finder, Needle, needles, piece
from deploy.ops.search import Hit, Search, hit_lines

NAME = "Žofie Łukasińska"
LABEL = "a name"


@pytest.fixture
def here(tmp_path: Path) -> Places:
    found = places(tmp_path / "stack")
    found.make()
    return found


def forms_in(content: bytes, text: str = NAME) -> set[str]:
    return {needle.form for needle, _at in Finder(needles(LABEL, text)).in_bytes(content)}


def places_of(hits: Iterable[Hit]) -> set[str]:
    return {Path(hit.place).name for hit in hits}


@pytest.mark.parametrize(
    ("form", "content"),
    [
        ("UTF-8", NAME.encode()),
        ("UTF-16LE", NAME.encode("utf-16-le")),
        ("UTF-16BE", NAME.encode("utf-16-be")),
        ("JSON, escaped", json.dumps({"name": NAME}).encode()),
        ("JSON, capitals", rb'"\u017Dofie \u0141ukasi\u0144ska"'),
        ("percent", quote(NAME).encode()),
        ("percent, small", b"%c5%bdofie%20%c5%81ukasi%c5%84ska"),
        ("form", quote_plus(NAME).encode()),
    ],
)
def test_each_form_of_a_name_is_found(form: str, content: bytes) -> None:
    assert form in forms_in(b"before " + content + b" after")


@given(text=st.text(min_size=6, max_size=40), before=st.binary(max_size=7), after=st.binary(max_size=7))
def test_base64_of_anything_around_a_name_is_found(text: str, before: bytes, after: bytes) -> None:
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        return  # half a character can't be stored as text anywhere
    assert any(form.startswith("base64") for form in forms_in(base64.b64encode(before + raw + after), text))
    assert any(form.startswith("base64") for form in forms_in(base64.urlsafe_b64encode(before + raw + after), text))


@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=6, max_size=40))
def test_json_of_any_name_is_found(text: str) -> None:
    for ascii_only in (True, False):
        assert forms_in(json.dumps({"name": text}, ensure_ascii=ascii_only).encode(), text)


def test_another_name_is_not_found() -> None:
    assert forms_in("Žofie Łukasińskb, Zofie Lukasinska".encode()) == set()


def test_a_text_too_short_to_mean_anything_is_refused() -> None:
    with pytest.raises(ValueError, match="6 characters"):
        needles(LABEL, "Novák")
    with pytest.raises(ValueError, match="16"):
        piece(LABEL, b"short")


@pytest.mark.parametrize("shift", range(-70, 10, 7))
def test_a_needle_across_two_blocks_of_a_file_is_found(tmp_path: Path, shift: int) -> None:
    block = 256 * 1024
    data = secrets.token_bytes(64)
    path = tmp_path / "file"
    path.write_bytes(secrets.token_bytes(block + shift) + data + secrets.token_bytes(block))
    with path.open("rb") as file:
        assert [at for _needle, at in Finder([piece("a scan", data)]).in_file(file)] == [block + shift]


def test_a_needle_after_a_long_hole_is_found_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.seek(5 * 2**20 + 3)
        file.write(NAME.encode())
    with path.open("rb") as file:
        found = list(Finder(needles(LABEL, NAME)).in_file(file))
    assert (5 * 2**20 + 3) in [at for _needle, at in found]


def test_a_needle_that_begins_with_zeros_is_found_across_zeros(tmp_path: Path) -> None:
    data = bytes(20) + secrets.token_bytes(44)
    path = tmp_path / "file"
    path.write_bytes(bytes(2 * 256 * 1024 - 10) + data[10:])
    with path.open("rb") as file:
        assert list(Finder([piece("a scan", data)]).in_file(file))


def test_servers_logs_and_run_are_searched_and_the_world_is_not(here: Places) -> None:
    for folder in (here.servers / "deep" / "er", here.logs, here.run, here.world, here.packages):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"in-{folder.name}").write_bytes(b"x" + NAME.encode("utf-16-be"))
    hits = Search(needles(LABEL, NAME), here).stack().hits
    assert places_of(hits) == {"in-er", "in-logs", "in-run"}


def test_a_file_named_after_somebody_is_found(here: Places) -> None:
    (here.run / f"{NAME}.tmp").touch()
    hits = Search(needles(LABEL, NAME), here).stack().hits
    assert {hit.form for hit in hits} == {"file name"}


def test_links_lead_nowhere_else(here: Places, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text(NAME)
    (here.run / "link").symlink_to(tmp_path / "outside")
    assert Search(needles(LABEL, NAME), here).stack().hits == set()


def test_a_hit_says_where_and_never_what(here: Places) -> None:
    (here.logs / "case-api.log").write_text(f"hello {NAME}")
    lines = hit_lines(Search(needles(LABEL, NAME), here).stack().hits)
    assert lines == [f"{here.logs}/case-api.log: a name as UTF-8"]
    assert NAME not in repr(needles(LABEL, NAME))


# In the temp folders


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setattr("deploy.ops.search._temp_folders", lambda: [folder])
    return folder


def everywhere(here: Places, wanted: list[Needle], **more: object) -> Search:
    search = Search(wanted, here, **more)  # type: ignore[arg-type]
    search.everywhere()
    return search


def test_temp_folders_are_searched_but_for_the_file_the_words_came_from(here: Places, temp: Path) -> None:
    for name in ("left-behind", "my-scan.pdf"):
        (temp / name).write_text(NAME)
    search = everywhere(here, needles(LABEL, NAME), skip=[temp / "my-scan.pdf"])
    assert places_of(search.found.hits) == {"left-behind"}


def test_what_was_there_before_the_words_were_made_is_not_read(here: Places, temp: Path) -> None:
    (temp / "old").write_text(NAME)
    since = (temp / "old").stat().st_ctime + 10
    assert everywhere(here, needles(LABEL, NAME), since=since).found.hits == set()


def test_another_stack_is_left_out_and_that_is_said(here: Places, temp: Path) -> None:
    for folder in ("servers", "run/secrets"):
        (temp / "other" / folder).mkdir(parents=True)
    (temp / "other" / "servers" / "file").write_text(NAME)
    found = everywhere(here, needles(LABEL, NAME)).found
    assert found.hits == set()
    assert [line for line in found.not_searched() if line.startswith(str(temp / "other"))]


def test_an_open_deleted_file_is_found(here: Places, temp: Path) -> None:
    path = temp / "spooled"
    with path.open("wb+") as spooled:
        spooled.write(NAME.encode())
        spooled.flush()
        path.unlink()
        hits = everywhere(here, needles(LABEL, NAME)).found.hits
    assert [hit.place for hit in hits] == [f"{path} (deleted), open in process {os.getpid()}"]
