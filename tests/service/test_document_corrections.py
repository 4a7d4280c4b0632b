"""What was filed wrongly is put right: title and kind, the case, and the same bytes twice."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.local.stack import Stack
from shared.ids import new_id
from tests import samples
from tests.helpers import eventually, problem
from tests.service.document_rig import Answer, Rig, rig_on

pytestmark = pytest.mark.xdist_group("document")

WHY = {"reason": "It was filed under the wrong reference"}


@pytest.fixture(scope="module")
def rig(stack: Stack, worker_id: str) -> Rig:
    return rig_on(stack, worker_id)


@pytest.fixture(scope="module")
def case_id(rig: Rig) -> str:
    return rig.a_case()


def patch(rig: Rig, made: dict[str, Any], body: dict[str, Any], *, if_match: str = "*", **more: Any) -> Answer:
    return rig.ask("PATCH", f"/documents/{made['id']}", body, If_Match=if_match, **more)


def move(rig: Rig, made: dict[str, Any], to: str, **more: Any) -> Answer:
    return rig.ask("POST", f"/documents/{made['id']}/move", {"case_id": to, **WHY}, **more)


def content(rig: Rig, made: dict[str, Any], version: int | None = None) -> bytes:
    answer = rig.ask("GET", f"/documents/{made['id']}/content" + (f"?version={version}" if version else ""))
    assert answer.status_code == 200, answer.text
    return bytes(answer.content)


def listed(rig: Rig, case_id: str) -> list[str]:
    return [one["id"] for one in rig.ask("GET", f"/cases/{case_id}/documents?limit=200").json()["items"]]


def add_version(rig: Rig, made: dict[str, Any], data: bytes) -> dict[str, Any]:
    answer = rig.ask("PUT", f"/documents/{made['id']}/content", data=data, If_Match="*")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


# Title and kind


def test_title_and_kind_are_corrected_and_nothing_else_changes(rig: Rig, case_id: str) -> None:
    made = rig.filed(case_id, title="Featherstone report")
    path = f"/documents/{made['id']}"
    etag = rig.ask("GET", path).headers["ETag"]
    changed = patch(rig, made, {"title": "The school's letter", "kind": "letter"}, if_match=etag)
    assert changed.status_code == 200, changed.text
    assert changed.json() == {**made, "title": "The school's letter", "kind": "letter"}
    assert changed.headers["ETag"] != etag
    assert rig.ask("GET", path).json() == changed.json()
    assert content(rig, made)
    # And only by who read it as it is
    assert problem(patch(rig, made, {"title": "x"}, if_match=etag)) == (412, "changed")
    assert problem(rig.ask("PATCH", path, {"title": "x"})) == (428, "precondition-required")


def test_a_title_that_is_null_goes_and_an_empty_change_changes_nothing(rig: Rig, case_id: str) -> None:
    made = rig.filed(case_id, title="Featherstone report")
    before = rig.ask("GET", f"/documents/{made['id']}").headers["ETag"]
    same = patch(rig, made, {})
    assert (same.json(), same.headers["ETag"]) == (made, before)
    assert patch(rig, made, {"title": None}).json() == {**made, "title": None}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"title": ""}, "title"),
        ({"title": "two\nlines"}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"kind": None}, "kind"),
        ({"kind": "secret plan"}, "kind"),
        ({"source": "family"}, "source"),
        ({"case_id": new_id()}, "case_id"),
    ],
)
def test_a_correction_that_does_not_fit_is_refused(rig: Rig, case_id: str, body: dict[str, Any], field: str) -> None:
    made = rig.filed(case_id, title="As it was")
    answer = patch(rig, made, body)
    assert problem(answer) == (400, "invalid")
    assert field in answer.json()["errors"]
    assert rig.ask("GET", f"/documents/{made['id']}").json() == made


def test_no_correction_of_what_is_frozen_or_without_consent_or_not_there(rig: Rig) -> None:
    frozen, silent = rig.a_case(), rig.a_case()
    in_frozen, in_silent = rig.filed(frozen), rig.filed(silent)
    rig.freeze(frozen)
    rig.say_casework(silent, given=False)
    assert problem(patch(rig, in_frozen, {"title": "x"})) == (423, "frozen")
    assert problem(patch(rig, in_silent, {"title": "x"})) == (409, "consent-required")
    assert problem(patch(rig, {"id": new_id()}, {"title": "x"})) == (404, "not-found")
    assert problem(patch(rig, in_silent, {"title": "x"}, role="safeguarding_lead")) == (403, "forbidden")


def test_p11_a_kind_that_the_family_did_not_agree_to_is_quarantined(rig: Rig) -> None:
    case_id, council = rig.a_case(), rig.an_organisation()
    rig.consent_to_obtain(case_id, council, "report")
    made = rig.filed(case_id, source=council)
    assert made["state"] == "accepted"
    assert patch(rig, made, {"title": "Still a report"}).json()["state"] == "accepted"
    changed = patch(rig, made, {"kind": "ehc_plan"})
    assert (changed.status_code, changed.json()["state"]) == (200, "quarantined")
    assert problem(rig.ask("GET", f"/documents/{made['id']}/content")) == (409, "consent-required")
    # Whatever it is called afterwards: a quarantine has a way out of its own
    assert patch(rig, made, {"kind": "report"}).json()["state"] == "quarantined"


# The same bytes twice


def test_the_same_bytes_twice_in_one_case_are_told(rig: Rig) -> None:
    case_id, other, scan = rig.a_case(), rig.a_case(), samples.pdf_scan(1)

    def filed(into: str, content: bytes) -> dict[str, Any]:
        answer = rig.file(into, content)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    first = filed(case_id, scan)
    assert "same_as" not in first
    second, third = filed(case_id, scan), filed(case_id, scan)
    assert (second["same_as"], third["same_as"]) == (first["id"], first["id"])
    assert len({first["id"], second["id"], third["id"]}) == 3
    assert "same_as" not in rig.ask("GET", f"/documents/{second['id']}").json()
    # Other bytes, and another case, are others
    assert "same_as" not in filed(case_id, samples.png())
    assert "same_as" not in filed(other, scan)
    # An older version has them still; a document that was removed hasn't
    add_version(rig, first, samples.jpeg())
    assert filed(case_id, scan)["same_as"] == first["id"]
    assert rig.ask("DELETE", f"/documents/{first['id']}", If_Match="*").status_code == 204
    assert filed(case_id, scan)["same_as"] == second["id"]


def test_a_repeat_with_the_same_key_is_the_same_document(rig: Rig, case_id: str) -> None:
    parts, key = [("file", samples.png(seed=77)), ("kind", "report"), ("source", "family")], new_id()
    first = rig.upload(case_id, *parts, Idempotency_Key=key)
    assert rig.upload(case_id, *parts, Idempotency_Key=key).json() == first.json()
    assert "same_as" not in first.json()


def test_no_row_says_which_documents_are_alike(rig: Rig) -> None:
    cases, scan = [rig.a_case(), rig.a_case()], samples.pdf_scan(1)
    made = [rig.filed(one, scan)["id"] for one in (*cases, *cases)]
    rows = [rig.row("documents", _id=one) for one in made] + [rig.row("versions", document_id=one) for one in made]
    shared: set[str] = set()
    seen: set[str] = set()
    for row in rows:
        words = {str(value) for value in (row or {}).values() if isinstance(value, str | bytes) and len(value) > 15}
        shared |= words & seen
        seen |= words
    assert shared == {*cases, *made}


# Moving


def test_a_moved_document_is_whole_in_the_other_case_and_gone_from_the_first(rig: Rig) -> None:
    case_id, other = rig.a_case(), rig.a_case()
    scans = [samples.pdf_scan(2), samples.png(), samples.tiff(3)]
    stays = rig.filed(case_id, title="Stays")
    made = rig.filed(case_id, scans[0], title="Featherstone report", kind="ehc_plan")
    for scan in scans[1:]:
        made = add_version(rig, made, scan)
    answer = move(rig, made, other)
    assert answer.status_code == 200, answer.text
    moved = answer.json()
    (came,) = moved.pop("moves")
    assert (came["reason"], came["by"]) == (WHY["reason"], "a.caseworker")
    assert {**moved, "case_id": case_id, "moves": []} == made
    assert moved["case_id"] == other
    assert rig.ask("GET", f"/documents/{made['id']}").json() == answer.json()
    assert rig.ask("GET", f"/documents/{made['id']}").headers["ETag"] == answer.headers["ETag"]
    assert [content(rig, made, number) for number in (1, 2, 3)] == scans
    assert (listed(rig, case_id), listed(rig, other)) == ([stays["id"]], [made["id"]])
    # Nothing of it lies where it was, and everything of both cases is as many objects as versions
    eventually(lambda: not [key for key in rig.objects_of(case_id) if made["id"] in key])
    assert rig.is_clean(case_id)
    assert rig.is_clean(other)
    assert len(rig.objects_of(other)) == 3
    # Nothing of why is readable in its record
    assert "wrong reference" not in str(rig.row("documents", _id=made["id"]))
    # It goes on like any document of that case
    assert add_version(rig, made, samples.jpeg())["version"] == 4
    assert patch(rig, made, {"title": "Renamed"}).json()["case_id"] == other
    # What stays in the first case opens, under another key
    eventually(lambda: rig.has_key(f"{case_id}#2") and not rig.has_key(case_id))
    assert content(rig, stays)


def test_a_document_may_come_back(rig: Rig) -> None:
    case_id, other, scan = rig.a_case(), rig.a_case(), samples.pdf_scan(1)
    made = rig.filed(case_id, scan)
    for to in (other, case_id, other, case_id):
        assert move(rig, made, to).status_code == 200
        assert content(rig, made) == scan
    assert len(rig.ask("GET", f"/documents/{made['id']}").json()["moves"]) == 4
    eventually(lambda: rig.is_clean(case_id) and rig.is_clean(other))
    assert (len(rig.objects_of(case_id)), rig.objects_of(other)) == (1, [])
    assert content(rig, made) == scan


def test_a_move_is_refused_where_either_case_is_frozen_or_does_not_take_it(rig: Rig) -> None:
    case_id, frozen, left, silent, erased = (rig.a_case() for _ in range(5))
    made, in_frozen = rig.filed(case_id), rig.filed(left)
    rig.say_casework(silent, given=False)
    rig.erase(erased)
    for one in (frozen, left):
        rig.freeze(one)
    assert problem(move(rig, made, frozen)) == (423, "frozen")
    assert problem(move(rig, in_frozen, case_id)) == (423, "frozen")
    assert problem(move(rig, made, silent)) == (409, "consent-required")
    assert problem(move(rig, made, rig.a_shell())) == (409, "consent-required")
    assert problem(move(rig, made, erased)) == (410, "erased")
    assert problem(move(rig, made, new_id())) == (404, "not-found")
    same = move(rig, made, case_id)
    assert problem(same) == (409, "conflict")
    assert "already" in same.json()["detail"]
    assert problem(move(rig, {"id": new_id()}, case_id)) == (404, "not-found")
    assert problem(move(rig, made, frozen, role="app")) == (403, "forbidden")
    path = f"/documents/{made['id']}/move"
    for body in ({"case_id": frozen}, {**WHY}, {**WHY, "case_id": "P-1"}, {**WHY, "case_id": frozen, "by": "me"}):
        assert problem(rig.ask("POST", path, body)) == (400, "invalid")
    assert rig.ask("GET", f"/documents/{made['id']}").json() == made
    assert all(rig.is_clean(one) for one in (case_id, frozen, left, silent, erased))


def test_a_scan_that_is_moved_is_no_scan_of_the_paper_file_any_more(rig: Rig) -> None:
    case_id, other = rig.a_case(), rig.a_case()
    paper = rig.a_paper(case_id)
    made = rig.filed(case_id, paper_file_id=paper["id"])
    assert move(rig, made, other).json()["paper_file_id"] is None
    assert rig.ask("GET", f"/paper-files/{paper['id']}").json()["scanned"] is False


def test_p11_what_the_other_family_did_not_agree_to_have_is_quarantined_there(rig: Rig) -> None:
    case_id, other, agreed, council = rig.a_case(), rig.a_case(), rig.a_case(), rig.an_organisation()
    rig.consent_to_obtain(case_id, council)
    rig.consent_to_obtain(agreed, council)
    made = rig.filed(case_id, source=council)
    assert move(rig, made, agreed).json()["state"] == "accepted"
    assert move(rig, made, other).json()["state"] == "quarantined"
    assert problem(rig.ask("GET", f"/documents/{made['id']}/content")) == (409, "consent-required")
    # No move is a way out of quarantine
    assert move(rig, made, agreed).json()["state"] == "quarantined"


def test_a_key_repeats_the_move_and_the_first_upload_s_answer_is_forgotten(rig: Rig) -> None:
    case_id, other, key = rig.a_case(), rig.a_case(), new_id()
    parts = [("file", samples.png()), ("kind", "report"), ("source", "family"), ("title", "Żaneta's plan")]
    made = rig.upload(case_id, *parts, Idempotency_Key=key)
    moved = move(rig, made.json(), other, Idempotency_Key=key)
    assert moved.status_code == 200, moved.text
    again = move(rig, made.json(), other, Idempotency_Key=key)
    assert (again.json(), again.headers["ETag"]) == (moved.json(), moved.headers["ETag"])
    assert problem(move(rig, made.json(), case_id, Idempotency_Key=key)) == (409, "conflict")
    assert problem(rig.upload(case_id, *parts, Idempotency_Key=key)) == (409, "conflict")
    assert [row for row in rig.rows("idempotency", case_id=case_id) if "personal" in row] == []


def test_both_cases_are_audited(rig: Rig) -> None:
    case_id, other, frozen = rig.a_case(), rig.a_case(), rig.a_case()
    made = rig.filed(case_id)
    rig.freeze(frozen)
    assert move(rig, made, frozen).status_code == 423
    assert move(rig, made, other).status_code == 200
    where = {"record_id": made["id"], "action": "corrections.move_document"}
    told = [(row["case_id"], row["outcome"]) for row in rig.rows("audit", **where)]
    assert sorted(told) == sorted([(case_id, "refused"), (frozen, "refused"), (case_id, "done"), (other, "done")])
