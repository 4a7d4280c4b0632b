"""Search over HTTP: a family is found however it is spelled, by hashes alone, and not once it is gone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deploy.local.stack import Stack
from services.case.model.search import hashed_anew
from shared.db.unit_of_work import Tx
from tests.helpers import refused
from tests.service.case_rig import MOTHER, Rig, rig_on
from tests.system import open_with

pytestmark = pytest.mark.xdist_group("case")

BORN = "1979-06-17"
# Of a family that no other test has.
AUNT = {
    **MOTHER,
    "role": "carer",
    "date_of_birth": BORN,
    "address": ["Høegh House", "2 Quay", "Saltash", "PL12 6DX"],
    "email": "zoe.łukasińska@exämple.net",
    "phone": "07700 900 561",
}


@pytest.fixture(scope="module")
def rig(stack: Stack, worker_id: str) -> Rig:
    return rig_on(stack, worker_id)


@pytest.fixture(scope="module")
def case_id(rig: Rig) -> str:
    case_id = rig.a_case()
    rig.a_person(case_id, **AUNT)
    rig.a_person(
        case_id, family_name="Øst-Æbelø Weiß", email=None, phone=None, address=None, date_of_birth="2012-12-01"
    )
    return case_id


def found(rig: Rig, body: dict[str, Any]) -> list[dict[str, Any]]:
    answer = rig.ask("POST", "/cases/search", body)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


@pytest.mark.parametrize(
    ("body", "matched"),
    [
        ({"family_name": "O’Łukasińska-Brännström", "date_of_birth": BORN}, "family_name"),
        ({"family_name": "o'lukasinska brannstrom", "date_of_birth": BORN}, "family_name"),
        ({"family_name": "OLUKASINSKABRANNSTROM", "date_of_birth": BORN}, "family_name"),
        ({"family_name": "O'Łukasińska Bra\u0308nnstro\u0308m", "date_of_birth": BORN}, "family_name"),
        ({"family_name": "ost aebelo weiss", "date_of_birth": "2012-12-01"}, "family_name"),
        ({"family_name": "ØST ÆBELØ WEIẞ", "date_of_birth": "2012-12-01"}, "family_name"),
        ({"postcode": "PL12 6DX"}, "postcode"),
        ({"postcode": "pl126dx"}, "postcode"),
        ({"postcode": " pl12-6dx."}, "postcode"),
        ({"email": "ZOE.LUKASINSKA@EXAMPLE.NET"}, "email"),
        ({"email": "zoe łukasinska @ exämple.net"}, "email"),
        ({"phone": "+447700900561"}, "phone"),
        ({"phone": "07700900561"}, "phone"),
        ({"phone": "(07700) 900-561"}, "phone"),
        ({"phone": "+44 (0) 7700 900 561"}, "phone"),
        ({"phone": "0044 7700 900561"}, "phone"),
    ],
)
def test_a_family_is_found_however_it_is_written(rig: Rig, case_id: str, body: dict[str, Any], matched: str) -> None:
    reference = rig.ask("GET", f"/cases/{case_id}").json()["reference"]

    assert found(rig, body) == [{"case_id": case_id, "reference": reference, "state": "open", "matched": matched}]


@pytest.mark.parametrize(
    "body",
    [
        {"family_name": "O’Łukasińska-Brännström", "date_of_birth": "1984-02-28"},
        {"family_name": "Łukasińska", "date_of_birth": BORN},
        {"postcode": "PL12 6DZ"},
        {"postcode": "nowhere"},
        {"email": "zoe@example.org"},
        {"phone": "07700 900562"},
        {"phone": "1"},
        {"phone": "none"},
        {"reference": "AAAA-AAAA"},
        {"reference": "what she said"},
        {"reference": "Ⅷ²³४५६७८"},
    ],
)
def test_others_are_not(rig: Rig, case_id: str, body: dict[str, Any]) -> None:
    assert found(rig, body) == []


def test_a_reference_is_found_as_it_is_heard_and_misread(rig: Rig) -> None:
    shell = rig.a_shell()
    reference = str(shell["reference"])
    misread = reference.translate(str.maketrans("Q7258V6", "OIZSBUG"))

    joined = f" {reference[:4]}{reference[5:]} "
    for written in (reference, reference.lower(), reference.replace("-", " "), joined, misread):
        assert found(rig, {"reference": written}) == [
            {"case_id": shell["id"], "reference": reference, "state": "shell", "matched": "reference"}
        ]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"family_name": "Brännström"},
        {"date_of_birth": BORN},
        {"postcode": "PL12 6DX", "phone": "07700 900561"},
        {"postcode": "PL12 6DX", "date_of_birth": BORN},
        {"postcode": None},
        {"postcode": ""},
        {"postcode": "--"},
        {"email": "@"},
        {"family_name": "’", "date_of_birth": BORN},
        {"family_name": "Brännström", "date_of_birth": "29 February"},
        {"postcode": {"$ne": None}},
        {"given_name": "Zoë"},
        {"phone": "0" * 1000},
    ],
)
def test_a_search_is_by_exactly_one_thing(rig: Rig, case_id: str, body: dict[str, Any]) -> None:
    refused(rig.ask("POST", "/cases/search", body), 400, "invalid")


def test_what_is_searched_by_follows_the_person(rig: Rig) -> None:
    case_id = rig.a_case()
    person = rig.a_person(case_id, phone="07700 900111").json()["id"]
    path = f"/cases/{case_id}/people/{person}"
    assert [one["case_id"] for one in found(rig, {"phone": "07700 900111"})] == [case_id]

    rig.ask("PATCH", path, {"phone": "07700 900222", "address": None}, match="*")

    assert found(rig, {"phone": "07700 900111"}) == []
    assert [one["case_id"] for one in found(rig, {"phone": "07700 900222"})] == [case_id]
    (hashes,) = rig.rows("search_hashes", case_id, vault=True)
    assert set(hashes) == {"_id", "case_id", "version", "family_name", "postcode", "email", "phone", "personal"}
    assert hashes["postcode"] is None
    rig.ask("DELETE", path, match="*")
    assert found(rig, {"phone": "07700 900222"}) == []
    assert rig.rows("search_hashes", case_id, vault=True) == []


def test_an_email_is_found_by_its_own_domain_in_either_spelling_and_never_by_another_ones(rig: Rig) -> None:
    sharp, ascii_only, plain = rig.a_case(), rig.a_case(), rig.a_case()
    for case_id, email in (
        (sharp, "mixed@faß.example"),
        (ascii_only, "mixed@xn--fa-hia.example"),
        (plain, "mixed@fass.example"),
    ):
        rig.a_person(case_id, email=email, phone=None, address=None)

    for spelled in (
        "mixed@faß.example",
        "MIXED@FAẞ.EXAMPLE",
        "mixed@xn--fa-hia.example",
        "\u200bmixed@faß.example\u00ad",
    ):
        assert {one["case_id"] for one in found(rig, {"email": spelled})} == {sharp, ascii_only}
    assert [one["case_id"] for one in found(rig, {"email": "mixed@fass.example"})] == [plain]


@pytest.mark.parametrize(
    ("email", "before"),
    [
        ("older@faß.example", "olderfassexample"),
        ("third@xn--fa-hia.example", "thirdxnfahiaexample"),
        ("older@exämple.net", "olderexamplenet"),
    ],
)
def test_what_an_older_version_kept_is_found_without_being_found_by_another_domain(
    rig: Rig, email: str, before: str
) -> None:
    case_id = rig.a_case()
    person = rig.a_person(case_id, email=email, phone=None, address=None).json()["id"]
    context = open_with(rig.provided, "case", "api").context

    def keep_as_before(tx: Tx) -> None:
        tx.enter(case_id)
        hashes = context.stores.search_hashes.get(person, tx=tx)
        older = replace(hashes, forms={**hashes.forms, "email": before})
        search_key = context.stores.keys.search_key(tx, case_id)
        context.stores.search_hashes.put(hashed_anew(older, search_key=search_key), tx=tx)

    context.stores.unit_of_work.run(keep_as_before)

    assert [one["case_id"] for one in found(rig, {"email": email})] == [case_id]
    assert found(rig, {"email": email.split("@")[0] + "@fass.example"}) == []


def test_a_phone_with_relay_uks_prefix_is_found_as_the_number_that_it_calls(rig: Rig) -> None:
    case_id = rig.a_case()
    rig.a_person(case_id, phone="18001 07700 900 778", email=None, address=None)

    for typed in ("07700 900778", "+447700900778", "18001 07700900778", "18002 07700 900 778"):
        assert [one["case_id"] for one in found(rig, {"phone": typed})] == [case_id]


def test_a_search_and_what_it_showed_are_audited(rig: Rig) -> None:
    case_id = rig.a_case()
    rig.a_person(case_id, phone="07700 900333")

    rig.ask("POST", "/cases/search", {"phone": "07700 900333"}, token=rig.token("caseworker", sub="mx.seeker"))

    rows = rig.ask("GET", f"/audit/case?case_id={case_id}", role="data_protection").json()["items"]
    assert ("mx.seeker", "cases.search_cases", "done") in {(r["sub"], r["action"], r["outcome"]) for r in rows}


@pytest.mark.parametrize(
    ("role", "status"),
    [("manager", 200), ("app", 200), ("safeguarding_lead", 200), ("auditor", 403), ("data_protection", 403),
     ("service:consent", 403)],
)  # fmt: skip
def test_who_may_search(rig: Rig, role: str, status: int) -> None:
    assert rig.ask("POST", "/cases/search", {"postcode": "PL12 6DX"}, role=role).status_code == status
