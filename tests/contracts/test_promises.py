"""docs/promises.md: every promise once, each with tests that are there, or with the words that it isn't kept yet."""

from __future__ import annotations

import ast
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "promises.md"
HOW_MANY = 31
#: About being asked: whatever else isn't there yet, each of these has tests.
ABOUT_BEING_ASKED = {*range(1, 11), *range(13, 16), 18, *range(20, 23)}
NOT_YET = "**Not yet**"
_HEADING = re.compile(r"^### (?:P(\d+)\. )?(.+)$", re.MULTILINE)
_TEST = re.compile(r"^- `([a-z0-9_/]+\.py)::(test_\w+)`$", re.MULTILINE)
_JOURNEY = re.compile(r"test_p(\d+)_\w+\.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One promise as the page has it. number: None for what follows from several of them."""

    number: int | None
    title: str
    says: str
    tests: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        return self.title if self.number is None else f"P{self.number}"


def rows() -> list[Row]:
    page = PAGE.read_text(encoding="utf-8")
    found = list(_HEADING.finditer(page))
    ends = [one.start() for one in found[1:]] + [len(page)]
    told = [page[one.end() : end] for one, end in zip(found, ends, strict=True)]
    return [
        Row(
            number=None if one[1] is None else int(one[1]),
            title=one[2],
            says=_TEST.sub("", text).split("\n## ")[0].strip(),
            tests=tuple((file, test) for file, test in _TEST.findall(text)),
        )
        for one, text in zip(found, told, strict=True)
    ]


@cache
def names_in(file: str) -> frozenset[str]:
    """The tests that pytest would collect from a file, which is read and not run."""
    path = TESTS / file
    if not path.exists():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(one.name for one in tree.body if isinstance(one, ast.FunctionDef) and one.name.startswith("test_"))


ROWS = rows()


def test_every_promise_is_there_once_and_in_order() -> None:
    assert [row.number for row in ROWS if row.number is not None] == list(range(1, HOW_MANY + 1))
    assert [name for name, times in Counter(row.name for row in ROWS).items() if times > 1] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_test_that_is_named_exists_and_is_named_once(row: Row) -> None:
    assert [f"{file}::{test}" for file, test in row.tests if test not in names_in(file)] == []
    assert len(set(row.tests)) == len(row.tests)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_has_no_test_says_that_it_isn_t_there_yet(row: Row) -> None:
    assert row.tests or NOT_YET in row.says
    # And in no other words, so that whoever looks for these finds all of it
    assert len(re.findall("not yet", row.says, re.IGNORECASE)) == row.says.count(NOT_YET)


@pytest.mark.parametrize("row", [row for row in ROWS if row.number is not None], ids=lambda row: row.name)
def test_every_promise_says_what_the_software_does(row: Row) -> None:
    assert len(row.says.split()) > 5


def test_every_promise_about_being_asked_has_a_test() -> None:
    assert sorted(ABOUT_BEING_ASKED - {row.number for row in ROWS if row.tests}) == []


def test_every_journey_of_a_promise_is_named_under_it() -> None:
    journeys = {
        path.name: int(found[1])
        for path in (TESTS / "journeys").glob("test_*.py")
        if (found := _JOURNEY.fullmatch(path.name))
    }
    named = {(row.number, Path(file).name) for row in ROWS for file, _ in row.tests}
    assert len(journeys) > 10
    assert [name for name, number in sorted(journeys.items()) if (number, name) not in named] == []


def test_nothing_on_the_page_looks_like_a_test_and_is_not_read_as_one() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.count("::test_") == sum(len(row.tests) for row in ROWS)
