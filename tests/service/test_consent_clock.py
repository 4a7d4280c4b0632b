"""The daily clock finds what is due by index alone, whatever else there is: MongoDB's own profile tells it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from services.consent.actions.clock import run_clock
from services.consent.model.reviews import Windows
from tests.helpers import eventually
from tests.races.inside import Inside, Row, an_inside
from tests.system import System

# What is looked for, by the store, and the index that is for it.
_BY_INDEX = {"reviews": "next_at", "expiries": "on", "rights": "next_on"}


@pytest.fixture
def inside(system: System) -> Iterator[Inside]:
    with an_inside(system) as opened:
        yield opened


def test_what_is_due_is_found_by_index_alone(system: System, inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    stores = inside.opened("consent", monkeypatch).context.stores
    # Given families whose reviews, last days and young people fall due in years to come
    last_day = (datetime.now(UTC) + timedelta(days=60)).date().isoformat()
    for _ in range(3):
        case_id = system.an_open_case({"purpose": "casework"}, {"purpose": "email", "until": last_day})
        system.a_person(case_id, role="child", date_of_birth="2019-05-04")
        eventually(lambda case_id=case_id: inside.rows("consent", "rights", case_id=case_id))  # type: ignore[misc]
    soon, next_year = datetime.now(UTC), datetime.now(UTC) + timedelta(days=370)
    for now, all_are_due in ((soon, False), (next_year, True)):
        # When the clock looks for what is due
        database = inside.mongo[f"{inside.names}_consent"]
        database.command("profile", 2)
        try:
            ran = run_clock(stores, Windows(), now=now, most=20, dry_run=True)
        finally:
            database.command("profile", 0)
        looked: list[Row] = list(database["system.profile"].find({"op": "query"}))
        database.drop_collection("system.profile")
        assert (ran.counts.letters >= 3, ran.counts.expiries >= 3) == (all_are_due, all_are_due)
        # Then each is found by its index, in order, and nothing is read that isn't due
        for store, field in _BY_INDEX.items():
            inventories = [one for one in looked if field in one["command"].get("filter", {})]
            assert inventories, (store, [one["command"] for one in looked])
            for one in inventories:
                assert one["ns"].endswith(f".{store}")
                assert one["planSummary"] == f"IXSCAN {{ {field}: 1, _id: 1 }}"
                assert one["docsExamined"] == one["nreturned"]
                assert not one.get("hasSortStage")
