"""The consent pack over HTTP: for whoever speaks with families, about nobody, and only with the words in force."""

from __future__ import annotations

import io

import pikepdf
import pytest

from tests.helpers import refused
from tests.system import System
from tests.unit.test_letters import words_of


def test_it_is_a_pdf_of_the_statement_in_force_and_needs_no_case(system: System) -> None:
    answer = system.caseworker.get("/consent-pack")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/pdf")
    statement = system.caseworker.read("/statement")
    said = " ".join(words_of(answer.content))
    assert f"Privacy statement, version {statement['version']}" in said
    assert statement["sha256"] in said
    large = system.caseworker.get("/consent-pack", format="large_print")
    with pikepdf.open(io.BytesIO(large.content)) as printed, pikepdf.open(io.BytesIO(answer.content)) as ordinary:
        assert len(printed.pages) > len(ordinary.pages)


@pytest.mark.parametrize("query", [{"format": "braille"}, {"case_id": "x"}, {"name": "Ottoline"}])
def test_it_takes_a_format_and_nothing_about_anyone(system: System, query: dict[str, str]) -> None:
    refused(system.caseworker.get("/consent-pack", **query), 400, "invalid")


def test_who_sees_nothing_personal_prints_none(system: System) -> None:
    refused(system.auditor.get("/consent-pack"), 403, "forbidden")


def test_without_the_words_in_force_there_is_no_pack(system: System) -> None:
    with system.away("consent-api"):
        refused(system.caseworker.get("/consent-pack"), 503, "unavailable")
    assert system.caseworker.get("/consent-pack").status_code == 200
