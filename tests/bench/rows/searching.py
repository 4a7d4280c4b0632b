"""A search by postcode among 100,000 people: the whole request, with 256 hashes asked for, and its audit row.

Nearly all of the people are there as the hashes that they are found by, alone, and made by the service's own code; a
few are whole, and are the ones that are looked for.
"""

from __future__ import annotations

import itertools
import statistics
import time

from pymongo import WriteConcern
from pymongo.client_session import ClientSession

from services.case.model.people import Person
from services.case.model.search import hashes_of
from shared.db.keys.tree import bucket_of
from shared.db.transactions import transact
from shared.ids import new_id
from shared.service.service import Opened
from tests.bench.bench import Bench
from tests.bench.results import Result, at_most
from tests.system import open_with

NAME = "searching"
_TO_A_CASE = 4
_CASES_AT_ONCE = 250
_LETTERS = "ABCDEFGHJKLMNPQRSTUWXYZ"
_PERSON = {
    "role": "parent",
    "given_name": "Żaneta",
    "family_name": "Okonkwo-Łukasik",
    "address": ["14 Dolphin Terrace", "Marlow Vale", "EC1A 1BB"],
}


def run(bench: Bench) -> list[Result]:
    system = bench.system()
    people, times = bench.sized(100_000, 2_000), bench.sized(200, 20)
    bench.say(f"making {people} people findable")
    opened = open_with(system.provided, "case", "bench")
    try:
        _fill(opened, people)
    finally:
        opened.runtime.unit_of_work.client.close()
    case_id = system.an_open_case()
    system.caseworker.made(f"/cases/{case_id}/people", _PERSON)

    def measured() -> float:
        """Milliseconds of the middle one of so many searches."""
        taken = []
        for _ in range(times):
            started = time.perf_counter()
            answer = system.caseworker.post("/cases/search", {"postcode": "ec1a1bb"})
            taken.append((time.perf_counter() - started) * 1000)
            assert [one["case_id"] for one in answer.json()["items"]] == [case_id], answer.text
        return statistics.median(taken)

    measured()
    found = bench.interleaved({"search": measured})["search"]
    return [Result(f"search among {people:,} people (HTTP, 1 client)", "–", found, at_most(10), unit="ms")]


def _fill(opened: Opened[object], people: int) -> None:
    """Make so many people findable, a few to a case; each has a postcode that hundreds share."""
    runtime, stores = opened.runtime, opened.context.stores  # type: ignore[attr-defined]
    vault, client = runtime.unit_of_work.vault, runtime.unit_of_work.client
    rows = stores.search_hashes.rows.with_options(write_concern=WriteConcern("majority"))
    postcodes = itertools.cycle(f"M{n} {n % 9}{a}{b}" for n in range(1, 9) for a in _LETTERS[:5] for b in _LETTERS[:5])
    for start in range(0, people, _CASES_AT_ONCE * _TO_A_CASE):
        count = min(people - start, _CASES_AT_ONCE * _TO_A_CASE)
        cases = [new_id() for _ in range(-(-count // _TO_A_CASE))]

        def make(session: ClientSession, cases: list[str] = cases) -> None:
            vault.make(cases, session)

        transact(client, make)
        tree = vault.tree()
        made = []
        for number in range(count):
            case_id = cases[number // _TO_A_CASE]
            person = Person(
                id=new_id(),
                case_id=case_id,
                role="parent",
                given_name="Ann",
                family_name=f"Bench {start + number}",
                address=("1 Bench Row", next(postcodes)),
                phone=f"07700 9{(start + number) % 100_000:05}",
            )
            search_key = tree.search_key(bucket_of(case_id))
            made.append(stores.search_hashes.row_of(hashes_of(person, search_key=search_key)))
        rows.insert_many(made, ordered=False)
