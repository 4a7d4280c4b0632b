"""The office's paper: corrected, found by where it is, moved with its cabinet, and the sheets on top of it (P29)."""

from __future__ import annotations

from typing import Any

import pypdfium2
import pytest
import zxingcpp

from deploy.local.stack import Stack
from services.document.actions import office_papers
from services.document.model.papers import Sought
from shared.ids import new_id
from tests.helpers import eventually, problem
from tests.service.document_rig import Answer, Rig, rig_on

pytestmark = pytest.mark.xdist_group("document")

OUT = {"direction": "out", "who": "Ama Mensah", "reason": "A meeting at the school"}


@pytest.fixture(scope="module")
def rig(stack: Stack, worker_id: str) -> Rig:
    return rig_on(stack, worker_id)


def patch(rig: Rig, paper: dict[str, Any], body: dict[str, Any], *, if_match: str = "*", **more: Any) -> Answer:
    return rig.ask("PATCH", f"/paper-files/{paper['id']}", body, If_Match=if_match, **more)


def found(rig: Rig, query: str) -> list[dict[str, Any]]:
    """Every page of the office's list."""
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = rig.ask("GET", f"/paper-files?{query}&limit=3{cursor}")
        assert answer.status_code == 200, answer.text
        items += answer.json()["items"]
        if answer.json()["next"] is None:
            return items
        cursor = f"&cursor={answer.json()['next']}"


def ids(items: list[dict[str, Any]]) -> list[str]:
    return [item["id"] for item in items]


def move_cabinet(rig: Rig, old: str, new: str, **more: Any) -> Answer:
    return rig.ask("POST", "/paper-files/moves", {"from": old, "to": new}, **more)


def a_cabinet() -> str:
    """A place that no other test has."""
    return f"Cabinet {new_id()[-8:]}, Drawer 2"


# Correcting


def test_location_and_description_are_corrected(rig: Rig) -> None:
    case_id = rig.a_case()
    paper = rig.a_paper(case_id)
    path = f"/paper-files/{paper['id']}"
    etag = rig.ask("GET", path).headers["ETag"]
    changed = patch(rig, paper, {"location": "Cabinet 4"}, if_match=etag)
    assert (changed.status_code, changed.json()) == (200, {**paper, "location": "Cabinet 4"})
    assert rig.ask("GET", path).json() == changed.json()
    assert problem(patch(rig, paper, {"location": "Cabinet 5"}, if_match=etag)) == (412, "changed")
    assert problem(rig.ask("PATCH", path, {"location": "Cabinet 5"})) == (428, "precondition-required")
    again = patch(rig, paper, {"description": "Reports"}, if_match=changed.headers["ETag"])
    assert again.json() == {**paper, "location": "Cabinet 4", "description": "Reports"}
    same = patch(rig, paper, {})
    assert (same.json(), same.headers["ETag"]) == (again.json(), again.headers["ETag"])
    assert "Cabinet" not in str(rig.row("paper_files", _id=paper["id"]))


@pytest.mark.parametrize(
    "body",
    [{"location": ""}, {"location": None}, {"description": ""}, {"pages": 3}, {"label": "P-1"}, {"state": "out"}],
)
def test_a_correction_that_does_not_fit_is_refused(rig: Rig, body: dict[str, Any]) -> None:
    paper = rig.a_paper(rig.a_case())
    answer = patch(rig, paper, body)
    assert problem(answer) == (400, "invalid")
    assert set(answer.json()["errors"]) == set(body)
    assert rig.ask("GET", f"/paper-files/{paper['id']}").json() == paper


def test_where_paper_is_may_be_said_of_a_frozen_case_and_of_one_that_is_out(rig: Rig) -> None:
    case_id = rig.a_case()
    paper, out = rig.a_paper(case_id), rig.a_paper(case_id)
    rig.ask("POST", f"/paper-files/{out['id']}/movements", OUT)
    rig.freeze(case_id)
    assert patch(rig, paper, {"location": "Cabinet 9"}).json()["location"] == "Cabinet 9"
    corrected = patch(rig, out, {"location": "Cabinet 9"}).json()
    assert (corrected["state"], corrected["out_with"], corrected["location"]) == ("out", "Ama Mensah", "Cabinet 9")
    # While what is said of it stays as it is
    assert problem(patch(rig, paper, {"description": "Other words"})) == (423, "frozen")
    assert problem(patch(rig, paper, {"location": "x"}, role="safeguarding_lead")) == (403, "forbidden")
    assert problem(patch(rig, {"id": new_id()}, {"location": "x"})) == (404, "not-found")


def test_of_an_erased_case_s_paper_the_location_alone_is_corrected(rig: Rig) -> None:
    case_id = rig.a_case()
    paper, gone = rig.a_paper(case_id), rig.a_paper(case_id)
    assert rig.certify(gone["id"]).status_code == 200
    assert problem(patch(rig, gone, {"location": "x"})) == (409, "conflict")
    rig.erase(case_id)
    etag = rig.ask("GET", f"/paper-files/{paper['id']}").headers["ETag"]
    changed = patch(rig, paper, {"location": "The safe"}, if_match=etag)
    assert (changed.json()["location"], changed.json()["description"]) == ("The safe", None)
    assert problem(patch(rig, paper, {"location": "x"}, if_match=etag)) == (412, "changed")
    assert problem(patch(rig, paper, {"description": "Reports"})) == (409, "conflict")
    assert problem(patch(rig, gone, {"location": "x"})) == (409, "conflict")
    assert rig.ask("GET", f"/paper-files/{paper['id']}").json() == changed.json()
    assert "safe" not in str(rig.rows("papers_to_certify", case_id=case_id))


# Finding


def test_p29_the_office_finds_its_paper_by_where_it_is_its_state_and_its_label(rig: Rig) -> None:
    cases, place = [rig.a_case() for _ in range(3)], a_cabinet()
    papers = [rig.a_paper(one, location=place) for one in cases for _ in range(2)]
    elsewhere = rig.a_paper(cases[0], location="The safe")
    rig.ask("POST", f"/paper-files/{papers[1]['id']}/movements", OUT)
    rig.certify(papers[2]["id"])
    assert ids(found(rig, f"location={place}")) == ids(papers)
    # Part of it, whatever the capitals and spaces
    assert ids(found(rig, f"location=  {place.upper()[:18]}")) == ids(papers)
    assert found(rig, f"location={place}&state=out") == [rig.ask("GET", f"/paper-files/{papers[1]['id']}").json()]
    assert ids(found(rig, f"location={place}&state=shredded")) == [papers[2]["id"]]
    assert ids(found(rig, f"label={elsewhere['label']}")) == [elsewhere["id"]]
    spoken = elsewhere["label"].lower().replace("-", " ")
    assert ids(found(rig, f"label={spoken}&state=held")) == [elsewhere["id"]]
    assert found(rig, f"label={elsewhere['label']}&location={place}") == []
    everything = ids(found(rig, "state=held"))
    assert everything == sorted(everything)
    assert {papers[0]["id"], elsewhere["id"]} <= set(everything)
    for wrong in ("state=burnt", "colour=red", "limit=0", "label=", "location="):
        assert problem(rig.ask("GET", f"/paper-files?{wrong}")) == (400, "invalid")
    assert problem(rig.ask("GET", "/paper-files", role="auditor")) == (403, "forbidden")


def test_p29_an_erased_case_s_paper_is_found_until_it_is_certified(rig: Rig) -> None:
    case_id, other, place = rig.a_case(), rig.a_case(), a_cabinet()
    first, certified = rig.a_paper(case_id, location=place), rig.a_paper(case_id, location=place)
    between = rig.a_paper(other, location=place)
    last = rig.a_paper(case_id, location=place)
    rig.certify(certified["id"])
    rig.erase(case_id)
    items = found(rig, f"location={place}")
    assert ids(items) == [first["id"], between["id"], last["id"]]
    assert items[0] == rig.ask("GET", f"/paper-files/{first['id']}").json()
    assert (items[0]["movements"], items[0]["description"]) == (None, None)
    assert ids(found(rig, f"location={place}&state=held")) == ids(items)
    assert ids(found(rig, f"label={last['label']}")) == [last["id"]]
    for paper in (first, last):
        assert rig.certify(paper["id"]).status_code == 200
    assert ids(found(rig, f"location={place}")) == [between["id"]]


def test_the_moment_in_which_an_erasure_begins_shows_what_will_be_left(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id, place = rig.a_case(), a_cabinet()
    paper = rig.a_paper(case_id, location=place)
    assert rig.certify(rig.a_paper(case_id, location=place)["id"]).status_code == 200
    stores = rig.opened(monkeypatch).context.stores
    stores.unit_of_work.run(lambda tx: tx.gates.close(tx.session, case_id))
    (shown,) = office_papers.find_papers(stores, Sought(location=place), after=None, limit=10)
    assert (shown.id, shown.paper.case_id, shown.movements) == (paper["id"], case_id, None)
    assert found(rig, f"location={place}")[0]["description"] is None


# Moving a cabinet


def test_p29_all_paper_of_a_cabinet_is_in_another_afterwards(rig: Rig) -> None:
    old, new = a_cabinet(), a_cabinet()
    open_case, frozen, erased = (rig.a_case() for _ in range(3))
    papers = [rig.a_paper(one, location=old) for one in (open_case, frozen, erased)]
    papers.append(rig.a_paper(open_case, location=f"  {old.upper()} "))
    out, gone, near = (rig.a_paper(open_case, location=old) for _ in range(3))
    rig.ask("POST", f"/paper-files/{out['id']}/movements", OUT)
    rig.certify(gone["id"])
    patch(rig, near, {"location": f"{old}, at the back"})
    rig.freeze(frozen)
    rig.erase(erased)
    key = new_id()
    answer = move_cabinet(rig, old, new, Idempotency_Key=key)
    assert (answer.status_code, answer.json()["moved"]) == (200, 4), answer.text
    assert {item["location"] for item in found(rig, f"location={new}")} == {new}
    assert sorted(ids(found(rig, f"location={new}"))) == sorted(ids(papers))
    # What is out, gone, or stands near it, doesn't
    assert sorted(ids(found(rig, f"location={old}"))) == sorted(ids([out, gone, near]))
    # A repeat is told the same; another move finds nothing there
    assert move_cabinet(rig, old, new, Idempotency_Key=key).json() == answer.json()
    assert problem(move_cabinet(rig, old, a_cabinet(), Idempotency_Key=key)) == (409, "conflict")
    assert move_cabinet(rig, old, new).json()["moved"] == 0
    # It is audited in each case, and nothing says from where to where
    rows = rig.rows("audit", action="office_papers.move_cabinet", record_id={"$in": ids(papers)})
    assert sorted(row["case_id"] for row in rows) == sorted([open_case, open_case, frozen, erased])
    assert old not in str([rig.rows(store) for store in ("audit", "idempotency", "cabinet_moves", "paper_files")])


def test_a_cabinet_s_move_is_refused_where_it_makes_no_sense(rig: Rig) -> None:
    for body in ({"from": "x"}, {"to": "x"}, {"from": "", "to": "x"}, {"from": "a", "to": "b", "why": "c"}):
        assert problem(rig.ask("POST", "/paper-files/moves", body)) == (400, "invalid")
    same = move_cabinet(rig, "Cabinet 3", " cabinet  3")
    assert problem(same) == (400, "invalid")
    assert "to" in same.json()["errors"]
    assert problem(move_cabinet(rig, "a", "b", role="auditor")) == (403, "forbidden")


def test_one_that_ended_early_is_finished_by_the_same_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new, case_id, act = a_cabinet(), a_cabinet(), rig.a_case(), new_id()
    papers = [rig.a_paper(case_id, location=old) for _ in range(7)]
    stores, told = rig.opened(monkeypatch).context.stores, list[str]()
    monkeypatch.setattr(office_papers, "_IN_ONE_TRANSACTION", 2)

    class Killed(Exception):
        pass

    def audit(tx: Any, case: str, paper_id: str) -> None:
        told.append(paper_id)
        if len(told) == 6:
            raise Killed

    with pytest.raises(Killed):
        office_papers.move_cabinet(stores, act=act, old=old, new=new, audit=audit)
    # Given that some are moved, whole transactions of them
    assert (len(found(rig, f"location={new}")), len(found(rig, f"location={old}"))) == (4, 3)
    # When the same is done again, Then all are, and each was counted once
    assert office_papers.move_cabinet(stores, act=act, old=old, new=new, audit=audit).moved == 7
    assert ids(found(rig, f"location={new}")) == ids(papers)


def test_paper_of_an_erasure_that_is_just_beginning_is_left_and_the_rest_moved(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, case_id, other = a_cabinet(), a_cabinet(), rig.a_case(), rig.a_case()
    first, second = rig.a_paper(case_id, location=old), rig.a_paper(other, location=old)
    stores = rig.opened(monkeypatch).context.stores
    stores.unit_of_work.run(lambda tx: tx.gates.close(tx.session, case_id))
    assert problem(move_cabinet(rig, old, new)) == (503, "unavailable")
    assert ids(found(rig, f"location={new}")) == [second["id"]]
    assert ids(found(rig, f"location={old}")) == [first["id"]]
    # Once it has begun
    request = rig.begin_erasure(case_id)
    eventually(lambda: rig.receipts(request))
    assert move_cabinet(rig, old, new).json()["moved"] == 1
    assert ids(found(rig, f"location={new}")) == [first["id"], second["id"]]


# The sheet on top


def test_p29_a_cover_sheet_has_the_label_and_a_code_that_says_it_and_nothing_else(rig: Rig) -> None:
    case_id = rig.a_case()
    paper = rig.a_paper(case_id, description="Letters of the Łukasiński family")
    answer = rig.ask("GET", f"/paper-files/{paper['id']}/cover-sheet")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/pdf")
    (page,) = pypdfium2.PdfDocument(answer.content)
    words = page.get_textpage().get_text_bounded().split("\r\n")
    sentence = "Keep this sheet on top of the paper file. It doesn’t say whose file it is."
    assert words == ["Paper file", paper["label"], sentence]
    (code,) = zxingcpp.read_barcodes(page.render(scale=2).to_pil())
    assert (code.text, code.format) == (paper["label"], zxingcpp.BarcodeFormat.QRCode)
    assert problem(rig.ask("GET", f"/paper-files/{new_id()}/cover-sheet")) == (404, "not-found")
    assert problem(rig.ask("GET", f"/paper-files/{paper['id']}/cover-sheet", role="auditor")) == (403, "forbidden")
    # Also while it waits to be certified; not once it has gone
    rig.erase(case_id)
    assert rig.ask("GET", f"/paper-files/{paper['id']}/cover-sheet").content == answer.content
    rig.certify(paper["id"])
    assert problem(rig.ask("GET", f"/paper-files/{paper['id']}/cover-sheet")) == (409, "conflict")
