"""Erasure in the document service: nothing of a case survives, whatever is on its way in at that moment (P24)."""

from __future__ import annotations

import io
import json
import signal
from contextlib import suppress
from datetime import timedelta

import pytest

from deploy.local.stack import Stack
from services.document.actions.sweep import reconcile
from shared.clock import utc_now
from shared.ids import new_id
from shared.ops.logs import configure
from tests import samples
from tests.helpers import eventually, problem
from tests.service.document_rig import Rig, answer_on, chunk, form, rig_on

pytestmark = pytest.mark.xdist_group("document")

FIELDS = [("kind", "ehc_plan"), ("source", "family")]


@pytest.fixture(scope="module")
def rig(stack: Stack, worker_id: str) -> Rig:
    return rig_on(stack, worker_id)


def _is_empty(rig: Rig, case_id: str) -> bool:
    stores = ("documents", "versions", "receiving", "paper_files", "projections", "idempotency")
    return not rig.objects_of(case_id) and not any(rig.rows(store, case_id=case_id) for store in stores)


def test_p24_documents_versions_and_objects_are_erased_and_read_back(rig: Rig) -> None:
    case_id = rig.a_case()
    made = rig.filed(case_id)
    path = f"/documents/{made['id']}"
    etag = rig.ask("GET", path).headers["ETag"]
    assert rig.ask("PUT", f"{path}/content", data=samples.jpeg(), If_Match=etag).status_code == 200
    rig.upload(case_id, ("file", samples.png()), *FIELDS, Idempotency_Key=new_id())
    receipt = rig.erase(case_id)
    found = {store["store"]: store["found"] for store in receipt["stores"]}
    assert receipt["outcome"] == "erased"
    assert all(store["remaining"] == 0 and store["deleted"] == store["found"] for store in receipt["stores"])
    assert (found["objects"], found["documents"], found["versions"], found["case_keys"]) == (3, 2, 3, 1)
    assert receipt["paper"] == []
    assert _is_empty(rig, case_id)
    assert not rig.has_key(case_id)
    assert problem(rig.ask("GET", path)) == (404, "not-found")
    assert problem(rig.ask("GET", f"{path}/content")) == (404, "not-found")
    assert problem(rig.ask("GET", f"/cases/{case_id}/documents")) == (410, "erased")
    assert problem(rig.file(case_id, samples.jpeg())) == (410, "erased")


def test_erasing_again_finds_nothing_held(rig: Rig) -> None:
    case_id = rig.a_case()
    assert rig.erase(case_id)["outcome"] == "erased"
    assert rig.erase(case_id)["outcome"] == "nothing_held"


@pytest.mark.parametrize("size", [600_000, 12_000_000])
def test_an_upload_held_open_across_an_erasure_loses(rig: Rig, size: int) -> None:
    case_id = rig.a_case()
    rig.filed(case_id)
    body = form(*FIELDS, ("file", b"%PDF-1.7\n" + bytes(size + 2_000_000)))
    # The caller sends so much, and then nothing, and goes on listening.
    connection = rig.opened_upload(case_id, body[:size])
    eventually(lambda: rig.rows("receiving", case_id=case_id))
    if size > 6_000_000:
        eventually(lambda: any("unfinished" in key for key in rig.objects_of(case_id)))
    receipt = rig.erase(case_id)
    assert receipt["outcome"] == "erased"
    assert all(store["remaining"] == 0 for store in receipt["stores"])
    assert answer_on(connection)[0] == 410
    assert _is_empty(rig, case_id)


def test_an_upload_that_is_complete_but_for_its_last_byte_loses(rig: Rig) -> None:
    case_id = rig.a_case()
    body = form(*FIELDS, ("file", samples.pdf_scan(2)))
    connection = rig.opened_upload(case_id, body[:-1])
    eventually(lambda: rig.rows("receiving", case_id=case_id))
    request = rig.begin_erasure(case_id)
    eventually(lambda: rig.row("gates", _id=case_id, state="closed"))
    with suppress(OSError):
        connection.sendall(chunk(body[-1:]) + b"0\r\n\r\n")
    assert answer_on(connection)[0] in (410, 0)
    eventually(lambda: rig.receipts(request))
    assert _is_empty(rig, case_id)
    assert rig.receipts(request)[0]["outcome"] == "erased"


def test_an_api_that_was_only_asleep_during_the_erasure_leaves_nothing(rig: Rig) -> None:
    """Its lease lapses, the erasure goes on without it, and what it does when it wakes up comes to nothing."""
    case_id = rig.a_case()
    # What is left to send fits into the connection's buffers: nobody reads it for a while.
    body = form(*FIELDS, ("file", b"%PDF-1.7\n" + bytes(12_100_000)))
    connection = rig.opened_upload(case_id, body[:12_000_000])
    eventually(lambda: any("unfinished" in key for key in rig.objects_of(case_id)))
    rig.signal("document-api", signal.SIGSTOP)
    try:
        connection.sendall(chunk(body[12_000_000:]) + b"0\r\n\r\n")
        request = rig.begin_erasure(case_id)
        eventually(lambda: rig.receipts(request))
        assert rig.receipts(request)[0]["outcome"] == "erased"
        assert _is_empty(rig, case_id)
    finally:
        rig.signal("document-api", signal.SIGCONT)
    assert answer_on(connection)[0] in (410, 503)
    assert _is_empty(rig, case_id)


def test_a_worker_killed_during_the_erasure_finishes_it_when_it_comes_back(rig: Rig) -> None:
    case_id = rig.a_case()
    for _ in range(3):
        rig.filed(case_id, samples.jpeg())
    paper = rig.a_paper(case_id)["id"]
    request = rig.begin_erasure(case_id)
    eventually(lambda: rig.row("gates", _id=case_id, state="closed"))
    worker = rig.processes["document-worker"]
    worker.kill(signal.SIGKILL)
    worker.restart()
    eventually(lambda: rig.receipts(request))
    assert rig.receipts(request)[0]["late"] == ["papers_to_certify"]
    assert _is_empty(rig, case_id)
    assert rig.certify(paper).status_code == 200
    eventually(lambda: len(rig.receipts(request)) == 2)


def test_a_new_attempt_while_paper_waits_is_answered_too(rig: Rig) -> None:
    case_id = rig.a_case()
    paper = rig.a_paper(case_id)["id"]
    request = rig.begin_erasure(case_id)
    eventually(lambda: rig.receipts(request))
    rig.begin_erasure(case_id, request, attempt=2)
    eventually(lambda: len(rig.receipts(request)) == 2)
    assert [receipt["attempt"] for receipt in rig.receipts(request)] == [1, 2]
    assert rig.receipts(request)[1]["late"] == ["papers_to_certify"]
    assert rig.certify(paper).status_code == 200
    eventually(lambda: len(rig.receipts(request)) == 3)
    assert (rig.receipts(request)[2]["attempt"], rig.receipts(request)[2]["late"]) == (2, [])


def test_the_sweep_removes_objects_without_a_record(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object of an erased case goes at once; of another, when it is an hour old; what has a record stays."""
    context = rig.opened(monkeypatch).context
    objects = context.stores.files.objects
    erased, open_case = rig.a_case(), rig.a_case()
    made = rig.filed(open_case)
    rig.erase(erased)
    for case_id in (erased, open_case):
        objects.put(f"{case_id}/{new_id()}/1", io.BytesIO(b"ciphertext"))
    reconcile(context, utc_now())
    assert not rig.objects_of(erased)
    assert len(rig.objects_of(open_case)) == 2
    reconcile(context, utc_now() + timedelta(hours=2))
    assert rig.objects_of(open_case) == [f"{open_case}/{made['id']}/1"]
    assert rig.ask("GET", f"/documents/{made['id']}/content").status_code == 200


def test_a_record_without_an_object_is_reported_unless_its_case_is_erased(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given two records without their objects: one lost, one of an erasure whose worker died between the two
    context = rig.opened(monkeypatch).context
    broken, erased = rig.a_case(), rig.a_case()
    made = {case_id: rig.filed(case_id)["id"] for case_id in (broken, erased)}
    for case_id, document_id in made.items():
        context.stores.files.purge(f"{case_id}/{document_id}/1")
    context.stores.unit_of_work.run(lambda tx: tx.gates.close(tx.session, erased))
    configure(service="document", process="worker")
    # When the sweep compares objects and records
    reconcile(context, utc_now())
    # Then the lost one alone is an error
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "record.without_object" in line]
    assert [(line["case_id"], line["record_id"]) for line in lines] == [(broken, made[broken])]
    assert problem(rig.ask("GET", f"/documents/{made[broken]}/content")) == (503, "unavailable")
