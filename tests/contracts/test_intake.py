"""The consent service describes people and wishes of an intake as the case service does, whose words they are."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
import pytest
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

from services.case import schemas as case_schemas
from services.case.schemas import NewCase, NewEntry, PersonIn
from services.case.schemas.intake import ComingPerson, ComingWish
from services.consent.schemas import case_shown
from services.consent.schemas.consents import ConsentIn, GivenBy
from services.consent.schemas.intake import IntakeCase, IntakeConsent, IntakeGivenBy, IntakePerson, IntakeWish

# What an entry of another kind may have beside the words and the time of a wish.
_NO_WISH_HAS = {"corrects", "level", "place", "papers"}


def described(schema: type[ma.Schema]) -> dict[str, Any]:
    """The fields of a schema as OpenAPI shows them, and which of them must be there; without what is only said."""
    plugin = MarshmallowPlugin()
    APISpec(title="t", version="1", openapi_version="3.1.0", plugins=[plugin])
    shown = plugin.converter.schema2jsonschema(schema)  # type: ignore[union-attr]
    fields = {name: {k: v for k, v in one.items() if k != "description"} for name, one in shown["properties"].items()}
    return {"fields": fields, "required": sorted(shown.get("required", []))}


@pytest.mark.parametrize(("here", "there"), [(IntakePerson, PersonIn), (IntakeCase, NewCase)])
def test_they_are_described_alike(here: type[ma.Schema], there: type[ma.Schema]) -> None:
    assert described(here) == described(there)


@pytest.mark.parametrize("name", ["CaseOut", "PersonOut", "EntryOut", "ReachOut", "SafeContactOut"])
def test_what_the_case_service_shows_is_described_alike(name: str) -> None:
    assert described(getattr(case_shown, name)) == described(getattr(case_schemas, name))


def test_a_wish_is_an_entry_of_that_kind() -> None:
    here, there = described(IntakeWish)["fields"], described(NewEntry)["fields"]
    assert set(there) - set(here) == _NO_WISH_HAS
    assert here["text"] == there["text"]
    assert described(IntakeWish)["required"] == ["text"]


def test_what_one_service_lets_through_the_other_reads() -> None:
    assert set(described(ComingPerson)["fields"]) - set(described(IntakePerson)["fields"]) == {"id"}
    assert set(described(ComingWish)["fields"]) - set(described(IntakeWish)["fields"]) == {"id"}


def test_a_consent_lacks_only_what_nobody_can_name_yet() -> None:
    assert set(described(ConsentIn)["fields"]) - set(described(IntakeConsent)["fields"]) == {"case_id", "evidence"}
    here, there = set(described(IntakeGivenBy)["fields"]), set(described(GivenBy)["fields"])
    assert (there - here, here - there) == ({"person_id", "for_person_id"}, {"person", "for_person"})
