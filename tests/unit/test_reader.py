"""The reader's own parts: how it finds ids in bytes, and what it takes for kept."""

from __future__ import annotations

import os
from uuid import UUID, uuid4

import bson
import pytest
from bson import Binary

from reader.databases import _documents
from reader.kept import APART, KEPT, is_kept
from reader.matching import Wanted
from services.consent.model.readings import services_of
from shared.events import SERVICES
from shared.ids import new_id
from tests.architecture.test_docs import ROOT

CASE = new_id()
# One id is looked for in another way than many.
FEW, MANY = Wanted([CASE]), Wanted([CASE, *(new_id() for _ in range(300))])
ROWS = {
    "a string": {"_id": CASE},
    "part of a string": {"_id": 1, "text": f"letters/{CASE}/3.pdf"},
    "upper case": {"_id": 1, "text": CASE.upper()},
    "without dashes": {"_id": 1, "text": f"x{CASE.replace('-', '')}x"},
    "among other hexadecimal digits": {"_id": 1, "text": f"abcdef0{CASE.replace('-', '')}0123456"},
    "a field's name, deep down": {"_id": 1, "by": [{"of": [{CASE: None}]}]},
    "a UUID": {"_id": Binary(UUID(CASE).bytes, 4)},
    "an old UUID": {"_id": Binary(UUID(CASE).bytes, 3)},
    "plain bytes": {"_id": 1, "of": UUID(CASE).bytes},
    "text in bytes": {"_id": 1, "body": b'{"case": "' + CASE.encode() + b'"}'},
}


@pytest.mark.parametrize("wanted", [FEW, MANY], ids=["few", "many"])
@pytest.mark.parametrize("how", ROWS)
def test_a_case_is_found_however_a_row_names_it(how: str, wanted: Wanted) -> None:
    other = bson.encode({"_id": new_id(), "bytes": os.urandom(300), "hash": os.urandom(64).hex()})
    assert wanted.named_in(other + bson.encode(ROWS[how]) + other) == {CASE}


@pytest.mark.parametrize("wanted", [FEW, MANY], ids=["few", "many"])
def test_what_does_not_name_it_is_passed_over(wanted: Wanted) -> None:
    others = [{"_id": new_id(), "a": str(uuid4()), "b": os.urandom(500), "c": CASE[:-1], "d": CASE[1:]}] * 50
    assert wanted.named_in(b"".join(map(bson.encode, others))) == set()


def test_two_cases_in_one_row_are_both_found() -> None:
    one, other = new_id(), new_id()
    both = bson.encode({"_id": f"{one}{other}"})
    assert Wanted([one, other, CASE]).named_in(both) == {one, other}
    assert Wanted([one, other, *(new_id() for _ in range(100))]).named_in(both) == {one, other}


def test_a_batch_is_cut_into_its_documents() -> None:
    documents = [bson.encode({"_id": number, "text": "x" * number}) for number in range(40)]
    assert list(_documents(b"".join(documents))) == documents


@pytest.mark.parametrize(
    ("place", "row", "kept"),
    [
        ("case.gates", {"_id": CASE, "state": "closed"}, True),
        ("case.gates", {"_id": CASE, "personal": b"x"}, False),
        ("case.people", {"_id": 1, "case_id": CASE}, False),
        ("case.gates_of_old", {"_id": CASE}, False),
        ("other.gates", {"_id": CASE}, False),
        ("case_vault.doomed", {"_id": CASE, "gone_at": None}, False),
        ("case_vault.doomed", {"_id": CASE, "gone_at": 1}, True),
        ("case_vault.keys", {"_id": CASE}, False),
        ("case_vault.search_hashes", {"_id": CASE}, False),
        ("consent.requests", {"_id": 1, "case_id": CASE}, True),
        ("consent.requests", {"_id": 1, "case_id": CASE, "personal": b"x"}, False),
        ("consent.requests", {"_id": 1, "case_id": CASE, "personal": b"x", "own_key": True}, True),
        ("consent.receipts", {"_id": 1, "case_id": CASE, "personal": b"x", "own_key": True}, False),
    ],
)
def test_a_row_is_kept_only_on_the_closed_list_and_without_a_sealed_part(
    place: str, row: dict[str, object], kept: bool
) -> None:
    assert is_kept(place, row) is kept


def test_the_closed_list_is_the_one_in_the_docs() -> None:
    text = (ROOT / "docs/security.md").read_text()
    section = text[text.index("## What an erasure leaves") :]
    named = {cell for line in section.splitlines() if line.startswith("| `") for cell in line.split("|")[1].split("`")}
    short = {name.strip() for name in named if name.strip(" ,")}
    everywhere = {name.partition(".")[2] for name in KEPT if name.startswith("case.")}
    alone = {name for name in KEPT if name.partition(".")[2] not in everywhere | {"doomed"}}
    assert short == everywhere | alone | {"doomed"} | APART


def test_the_services_that_a_leftover_belongs_to() -> None:
    assert services_of({"case.people": 1, "consent_vault.keys": 2}) == ("case", "consent")
    assert services_of({"ledger.copy": 1}) == ("consent",)
    assert services_of({"objects.document": 1}) == ("document",)
    assert services_of({"objects.somebodys": 1}) == SERVICES
    assert services_of({"<name-of-a-database>": 1}) == SERVICES
