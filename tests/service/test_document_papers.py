"""Paper files over the real service: registering, moving, certifying (P27, P29), before and during an erasure."""

from __future__ import annotations

import pytest

from deploy.local.stack import Stack
from shared.ids import new_id
from tests import samples
from tests.helpers import eventually, problem
from tests.service.document_rig import Rig, rig_on

pytestmark = pytest.mark.xdist_group("document")

OUT = {"direction": "out", "who": "Ama Mensah", "reason": "A meeting at the school"}
IN = {"direction": "in", "who": "Ama Mensah"}


@pytest.fixture(scope="module")
def rig(stack: Stack, worker_id: str) -> Rig:
    return rig_on(stack, worker_id)


@pytest.fixture(scope="module")
def case_id(rig: Rig) -> str:
    return rig.a_case()


def test_a_paper_file_is_registered_listed_and_scanned_in(rig: Rig, case_id: str) -> None:
    body = {"location": "Cabinet 3", "description": "Letters of the Łukasiński family"}
    answer = rig.ask("POST", f"/cases/{case_id}/paper-files", body, Idempotency_Key=new_id())
    assert answer.status_code == 201, answer.text
    paper = answer.json()
    assert answer.headers["Location"] == f"/v1/paper-files/{paper['id']}"
    assert answer.headers["ETag"]
    assert (paper["state"], paper["location"], paper["pages"], paper["scanned"]) == ("held", "Cabinet 3", None, False)
    assert paper["label"].startswith("P-")
    assert rig.ask("GET", f"/paper-files/{paper['id']}").json() == paper
    document = rig.filed(case_id, paper_file_id=paper["id"])
    assert document["paper_file_id"] == paper["id"]
    listed = rig.ask("GET", f"/cases/{case_id}/paper-files").json()["items"]
    again = next(item for item in listed if item["id"] == paper["id"])
    assert (again["scanned"], again["scans"]) == (True, [document["id"]])
    assert "Cabinet" not in str(rig.row("paper_files", _id=paper["id"]))


def test_a_document_names_a_paper_file_of_its_own_case(rig: Rig, case_id: str) -> None:
    elsewhere = rig.a_paper(rig.a_case())
    answer = rig.file(case_id, b"%PDF-", paper_file_id=elsewhere["id"])
    assert answer.status_code in (400, 422)
    answer = rig.file(case_id, samples.jpeg(), paper_file_id=elsewhere["id"])
    assert problem(answer) == (400, "invalid")
    assert "paper_file_id" in answer.json()["errors"]
    assert rig.is_clean(case_id)


def test_p4_paper_is_registered_only_with_consent(rig: Rig) -> None:
    body = {"location": "Cabinet 3", "description": "Letters"}
    assert problem(rig.ask("POST", f"/cases/{rig.a_shell()}/paper-files", body)) == (409, "consent-required")
    assert problem(rig.ask("POST", f"/cases/{new_id()}/paper-files", body)) == (404, "not-found")


@pytest.mark.parametrize(
    "body",
    [
        {"location": "Cabinet"},
        {"location": "", "description": "x"},
        {"location": "Cabinet", "description": "x", "pages": 0},
        {"location": "Cabinet", "description": "x", "pages": "12"},
        {"location": "Cabinet", "description": "x", "colour": "red"},
        {"location": "x" * 201, "description": "x"},
    ],
)
def test_what_does_not_fit_is_refused(rig: Rig, case_id: str, body: dict[str, object]) -> None:
    assert problem(rig.ask("POST", f"/cases/{case_id}/paper-files", body)) == (400, "invalid")


def test_p27_who_took_it_and_when(rig: Rig, case_id: str) -> None:
    path = f"/paper-files/{rig.a_paper(case_id)['id']}"
    assert problem(rig.ask("POST", f"{path}/movements", IN)) == (409, "conflict")
    key = new_id()
    out = rig.ask("POST", f"{path}/movements", OUT, Idempotency_Key=key)
    assert (out.status_code, out.json()["state"], out.json()["out_with"]) == (200, "out", "Ama Mensah")
    assert rig.ask("POST", f"{path}/movements", OUT, Idempotency_Key=key).json() == out.json()
    assert problem(rig.ask("POST", f"{path}/movements", OUT)) == (409, "conflict")
    back = rig.ask("POST", f"{path}/movements", IN).json()
    assert (back["state"], back["out_with"]) == ("held", None)
    assert [(m["direction"], m["who"]) for m in back["movements"]] == [("out", "Ama Mensah"), ("in", "Ama Mensah")]
    assert problem(rig.ask("POST", f"{path}/movements", {**OUT, "direction": "up"})) == (400, "invalid")
    assert problem(rig.ask("POST", f"/paper-files/{new_id()}/movements", OUT)) == (404, "not-found")


def test_p29_a_disposal_is_witnessed_by_another(rig: Rig, case_id: str) -> None:
    paper_id = rig.a_paper(case_id)["id"]
    for same in ("Ama Mensah", "  ama  MENSAH ", "Ama Mensáh", "A.m.a Mensah"):
        assert problem(rig.certify(paper_id, witnessed_by=same)) == (400, "invalid")
    assert problem(rig.certify(paper_id, method="returned")) == (400, "invalid")
    assert problem(rig.certify(paper_id, role="app")) == (403, "forbidden")
    assert problem(rig.certify(paper_id, method="not_found", reason="Searched twice")) == (403, "forbidden")
    assert problem(rig.certify(paper_id, method="not_found", role="manager")) == (400, "invalid")
    assert problem(rig.certify(paper_id, method="burnt")) == (400, "invalid")
    done = rig.certify(paper_id)
    assert (done.status_code, done.json()["state"]) == (200, "shredded")
    assert done.json()["disposal"]["witnessed_by"] == "Li Wei"
    assert problem(rig.certify(paper_id)) == (409, "conflict")
    assert problem(rig.ask("POST", f"/paper-files/{paper_id}/movements", OUT)) == (409, "conflict")
    kept = rig.row("paper_disposals", _id=paper_id)
    assert kept is not None
    assert set(kept) == {"_id", "case_id", "method", "at"}


def test_one_that_is_out_is_brought_in_by_its_disposal(rig: Rig, case_id: str) -> None:
    paper_id = rig.a_paper(case_id)["id"]
    rig.ask("POST", f"/paper-files/{paper_id}/movements", OUT)
    done = rig.certify(paper_id, method="returned", to="Zoë Łukasińska").json()
    assert (done["state"], done["out_with"]) == ("returned", None)
    assert [movement["direction"] for movement in done["movements"]] == ["out", "in"]


def test_a_manager_may_say_that_it_cannot_be_found(rig: Rig, case_id: str) -> None:
    paper_id = rig.a_paper(case_id)["id"]
    done = rig.certify(paper_id, method="not_found", reason="Both cabinets were searched", role="manager")
    assert (done.status_code, done.json()["state"]) == (200, "not_found")


def test_while_frozen_paper_comes_in_and_does_not_go(rig: Rig) -> None:
    case_id = rig.a_case()
    held, out = rig.a_paper(case_id)["id"], rig.a_paper(case_id)["id"]
    rig.ask("POST", f"/paper-files/{out}/movements", OUT)
    rig.freeze(case_id)
    assert rig.a_paper(case_id)["state"] == "held"
    assert problem(rig.ask("POST", f"/paper-files/{held}/movements", OUT)) == (423, "frozen")
    assert problem(rig.certify(held)) == (423, "frozen")
    back = rig.ask("POST", f"/paper-files/{out}/movements", IN)
    assert (back.status_code, back.json()["state"]) == (200, "held")
    assert rig.ask("GET", f"/cases/{case_id}/paper-files").status_code == 200


def test_p29_an_erasure_is_not_over_until_the_paper_is_certified(rig: Rig) -> None:
    case_id = rig.a_case()
    shredded, held, out = (rig.a_paper(case_id)["id"] for _ in range(3))
    rig.certify(shredded)
    rig.ask("POST", f"/paper-files/{out}/movements", OUT)
    rig.freeze(case_id)
    request = rig.begin_erasure(case_id)
    eventually(lambda: rig.receipts(request))
    first = rig.receipts(request)[0]
    assert first["outcome"] == "erased"
    assert first["late"] == ["papers_to_certify"]
    assert [item["paper_file"] for item in first["paper"]] == [shredded]
    assert all(store["remaining"] == 0 for store in first["stores"])
    assert not rig.rows("paper_files", case_id=case_id)
    assert not rig.has_key(case_id)
    assert rig.has_key(f"paper:{case_id}")
    assert "Cabinet" not in str(rig.rows("papers_to_certify", case_id=case_id))

    # Listed, moved and certified; a new one is refused.
    listed = {item["id"]: item for item in rig.ask("GET", f"/cases/{case_id}/paper-files").json()["items"]}
    assert {paper_id: item["state"] for paper_id, item in listed.items()} == {
        shredded: "shredded",
        held: "held",
        out: "out",
    }
    assert listed[out]["out_with"] == "Ama Mensah"
    # Of its movements nothing is kept but who has it: that isn't the same as none.
    assert rig.ask("GET", f"/paper-files/{out}").json() == listed[out]
    assert {item["movements"] for item in listed.values()} == {None}
    assert listed[held]["location"] == "Cabinet 3, drawer 2"
    body = {"location": "Cabinet 3", "description": "Letters"}
    assert problem(rig.ask("POST", f"/cases/{case_id}/paper-files", body)) == (410, "erased")
    assert problem(rig.ask("GET", f"/cases/{case_id}/documents")) == (410, "erased")
    assert problem(rig.ask("POST", f"/paper-files/{out}/movements", OUT)) == (409, "conflict")
    key = new_id()
    back = rig.ask("POST", f"/paper-files/{out}/movements", IN, Idempotency_Key=key)
    assert (back.status_code, back.json()["state"], back.json()["movements"]) == (200, "held", None)
    # No key of the case is left that an answer could be kept under: the same request again is a second movement.
    assert problem(rig.ask("POST", f"/paper-files/{out}/movements", IN, Idempotency_Key=key)) == (409, "conflict")
    assert problem(rig.certify(held, witnessed_by="AMA MENSAH")) == (400, "invalid")
    assert rig.certify(held).json()["state"] == "shredded"
    assert problem(rig.certify(held)) == (409, "conflict")
    assert len(rig.receipts(request)) == 1

    # With the last one the key goes, and the second receipt follows.
    last = rig.ask(
        "POST",
        f"/paper-files/{out}/disposal",
        {"method": "not_found", "by": "A", "witnessed_by": "B", "reason": "Lost on the way"},
        role="manager",
        Idempotency_Key=new_id(),
    )
    assert last.status_code == 200
    eventually(lambda: len(rig.receipts(request)) == 2)
    second = rig.receipts(request)[1]
    assert second["late"] == []
    assert {item["paper_file"]: item["method"] for item in second["paper"]} == {
        shredded: "shredded",
        held: "shredded",
        out: "not_found",
    }
    assert not rig.has_key(f"paper:{case_id}")
    assert not rig.rows("papers_to_certify", case_id=case_id)
    assert {item["state"] for item in rig.ask("GET", f"/cases/{case_id}/paper-files").json()["items"]} == {
        "shredded",
        "not_found",
    }
    assert rig.ask("GET", f"/paper-files/{out}").json()["state"] == "not_found"


def test_an_erasure_without_paper_is_not_late(rig: Rig) -> None:
    case_id = rig.a_case()
    rig.certify(rig.a_paper(case_id)["id"])
    receipt = rig.erase(case_id)
    assert receipt["late"] == []
    assert not rig.has_key(f"paper:{case_id}")


@pytest.mark.parametrize("nothing", ["\u200b", "\u00ad", "\u2060 \ufeff"])
def test_p29_nobody_is_a_witness_whose_name_cannot_be_seen(rig: Rig, case_id: str, nothing: str) -> None:
    paper_id = rig.a_paper(case_id)["id"]
    for field in ("by", "witnessed_by"):
        answer = rig.certify(paper_id, **{field: nothing})
        assert problem(answer) == (400, "invalid")
        assert list(answer.json()["errors"]) == [field]
    # Nor is it another name with something invisible about it.
    assert problem(rig.certify(paper_id, by="Ama Mensah", witnessed_by="Ama\u200b Mensah\u00ad")) == (400, "invalid")
    assert rig.ask("GET", f"/paper-files/{paper_id}").json()["state"] == "held"
