"""A document that is moved to another case: whatever dies, and whatever else is done to it or to either case meanwhile.

At each moment it is whole in exactly one of the two. In the end nothing of it lies anywhere else.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploy.local import mongo
from deploy.local.stack import Stack
from services.document.actions import moves
from services.document.actions.sweep import purge_dead_uploads
from services.document.actions.uploads import InProgress
from services.document.context import Context
from services.document.model.documents import Document
from services.document.store import Stores
from shared.clock import LONG_AGO, utc_now
from shared.errors import Changed, Conflict, Erased, Frozen, NotFound, Problem
from shared.messaging.steps import StepRow
from tests import samples
from tests.helpers import eventually
from tests.races.key_rig import said
from tests.service.document_rig import Rig, rig_on

pytestmark = pytest.mark.xdist_group("document-move")

# The second is so large that it is stored in parts.
_SCANS = [samples.png(seed=1), samples.png(1200, 1700, seed=2)]


@pytest.fixture(scope="module")
def rig(stack: Stack, worker_id: str) -> Rig:
    return rig_on(stack, worker_id, "mov")


@pytest.fixture
def context(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Context:
    """The service in this process, as one of its own processes."""
    return rig.opened(monkeypatch).context


@pytest.fixture
def zygote(rig: Rig) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.races.moving"],
        env=os.environ | dict(rig.provided.env["document"]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.stdin.close()  # type: ignore[union-attr]
    process.wait(30)


def a_document(rig: Rig, case_id: str) -> str:
    """Of two versions."""
    made = rig.filed(case_id, _SCANS[0], title="Featherstone report")
    path = f"/documents/{made['id']}/content"
    assert rig.ask("PUT", path, data=_SCANS[1], If_Match="*").status_code == 200
    return str(made["id"])


def case_of(rig: Rig, document_id: str, *cases: str) -> str:
    """The one of these cases that has it, whole."""
    shown = rig.ask("GET", f"/documents/{document_id}").json()
    lists = {one: rig.ask("GET", f"/cases/{one}/documents?limit=200").json()["items"] for one in cases}
    assert [one for one, items in lists.items() if document_id in [item["id"] for item in items]] == [shown["case_id"]]
    for number, scan in enumerate(_SCANS, start=1):
        content = rig.ask("GET", f"/documents/{document_id}/content?version={number}")
        assert (content.status_code, content.content == scan) == (200, True)
    return str(shown["case_id"])


def let_lapse(rig: Rig) -> None:
    """The leases of uploads whose process has died are over."""
    with mongo.admin_client(rig.stack.places, rig.stack.ports) as client:
        receiving = client[f"{rig.provided.prefix}_document"]["receiving"]
        receiving.update_many({}, {"$set": {"beat_at": LONG_AGO}})


def test_killed_before_any_call_it_is_whole_in_one_case_and_nothing_is_left(
    rig: Rig, context: Context, zygote: subprocess.Popen[str]
) -> None:
    case_id, other = rig.a_case(), rig.a_case()
    stays, document_id = rig.filed(case_id)["id"], a_document(rig, case_id)
    there, here, at, answer = other, case_id, 0, "killed"
    outcomes = []
    while answer == "killed":
        at += 1
        # When the process that moves it dies before its n-th call
        answer = said(zygote, f"{at} {document_id} {there}")
        # Then it is whole in one of the two
        found = case_of(rig, document_id, here, there)
        outcomes.append(found == there)
        # And once what died is swept, nothing of it is left in the other
        let_lapse(rig)
        purge_dead_uploads(context, utc_now())
        gone = here if found == there else there
        eventually(lambda gone=gone: not [key for key in rig.objects_of(gone) if document_id in key])  # type: ignore[misc]
        assert rig.is_clean(case_id)
        assert rig.is_clean(other)
        assert case_of(rig, document_id, here, there) == found
        here, there = found, gone
    assert answer == "done"
    assert at > 30
    # Most died before it was moved, and the last ones after that
    assert outcomes[0] is False
    assert outcomes[-1] is True
    assert rig.ask("GET", f"/documents/{stays}/content").status_code == 200
    assert len(rig.ask("GET", f"/documents/{document_id}").json()["moves"]) == outcomes.count(True)


# What is done to it, or to a case, in the middle of the move


def moved_while(
    monkeypatch: pytest.MonkeyPatch, context: Context, document_id: str, to: str, act: Callable[[], object]
) -> Document | Problem:
    """What becomes of a move, once its first version is copied and `act` was done."""
    copy_bytes, done = moves._copy_bytes, []

    def copy(stores: Stores, one: moves.Copy, progress: InProgress) -> None:
        copy_bytes(stores, one, progress)
        if not done:
            done.append(act())

    monkeypatch.setattr(moves, "_copy_bytes", copy)
    try:
        return moves.move_document(context, document_id=document_id, to=to, reason="Wrong case", by="a.caseworker")
    except Problem as problem:
        return problem


def test_frozen_meanwhile_it_stays(rig: Rig, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    for freezes_other in (True, False):
        case_id, other = rig.a_case(), rig.a_case()
        document_id = a_document(rig, case_id)
        frozen = other if freezes_other else case_id
        came_of_it = moved_while(monkeypatch, context, document_id, other, lambda one=frozen: rig.freeze(one))  # type: ignore[misc]
        assert isinstance(came_of_it, Frozen)
        assert case_of(rig, document_id, case_id, other) == case_id
        assert (rig.objects_of(other), rig.is_clean(other), rig.is_clean(case_id)) == ([], True, True)


@pytest.mark.parametrize("erased_is_other", [True, False])
def test_p24_an_erasure_of_either_case_that_begins_meanwhile_leaves_nothing_of_it_there(
    rig: Rig, context: Context, monkeypatch: pytest.MonkeyPatch, erased_is_other: bool
) -> None:
    case_id, other = rig.a_case(), rig.a_case()
    document_id = a_document(rig, case_id)
    erased, lives = (other, case_id) if erased_is_other else (case_id, other)
    asked: list[str] = []

    def erase() -> None:
        asked.append(rig.begin_erasure(erased))
        eventually(lambda: rig.row("gates", _id=erased, state="closed"))

    came_of_it = moved_while(monkeypatch, context, document_id, other, erase)
    assert isinstance(came_of_it, Erased if erased_is_other else NotFound)
    eventually(lambda: rig.receipts(asked[0]))
    (receipt,) = rig.receipts(asked[0])
    assert receipt["outcome"] == "erased"
    assert all(store["remaining"] == 0 for store in receipt["stores"])
    assert rig.objects_of(erased) == []
    assert erased not in str([rig.rows(store) for store in ("documents", "versions", "receiving")])
    assert rig.is_clean(lives)
    if erased_is_other:
        assert case_of(rig, document_id, case_id) == case_id
    else:
        assert rig.ask("GET", f"/documents/{document_id}").status_code == 404
        assert rig.objects_of(other) == []


def test_p24_the_receipt_of_the_case_that_it_leaves_waits_until_the_copy_is_gone(
    rig: Rig, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id, other = rig.a_case(), rig.a_case()
    document_id = a_document(rig, case_id)
    seen: list[Any] = []

    def erase() -> None:
        request = rig.begin_erasure(case_id)
        eventually(lambda: rig.row("receiving", moved_from=case_id, state="aborted"))
        # Long enough for an erasure that waits for nothing, and shorter than the lease of a copy
        for _ in range(15):
            time.sleep(0.2)
            assert rig.receipts(request) == []
        seen.extend([request, len(rig.objects_of(other))])

    assert isinstance(moved_while(monkeypatch, context, document_id, other, erase), NotFound)
    request, copies = seen
    assert copies == 1
    eventually(lambda: rig.receipts(request))
    assert rig.objects_of(other) == []


def test_p24_once_it_is_moved_it_is_erased_with_its_new_case_alone(rig: Rig) -> None:
    case_id, other = rig.a_case(), rig.a_case()
    document_id = a_document(rig, case_id)
    body = {"case_id": other, "reason": "Wrong case"}
    assert rig.ask("POST", f"/documents/{document_id}/move", body).status_code == 200
    assert rig.erase(case_id)["outcome"] == "erased"
    assert case_of(rig, document_id, other) == other
    receipt = rig.erase(other)
    found = {store["store"]: store["found"] for store in receipt["stores"]}
    assert (receipt["outcome"], found["documents"], found["versions"], found["objects"]) == ("erased", 1, 2, 2)
    assert rig.ask("GET", f"/documents/{document_id}").status_code == 404
    assert rig.objects_of(other) == rig.objects_of(case_id) == []


def test_a_version_that_comes_meanwhile_is_kept_and_the_move_refused(
    rig: Rig, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id, other = rig.a_case(), rig.a_case()
    document_id = a_document(rig, case_id)

    def add() -> None:
        path = f"/documents/{document_id}/content"
        assert rig.ask("PUT", path, data=samples.jpeg(), If_Match="*").status_code == 200

    assert isinstance(moved_while(monkeypatch, context, document_id, other, add), Changed)
    assert case_of(rig, document_id, case_id, other) == case_id
    assert rig.ask("GET", f"/documents/{document_id}").json()["version"] == 3
    assert rig.is_clean(case_id)
    assert rig.objects_of(other) == []


def test_what_is_corrected_meanwhile_goes_with_it_and_what_is_removed_is_gone(
    rig: Rig, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id, other = rig.a_case(), rig.a_case()
    renamed, removed = a_document(rig, case_id), a_document(rig, case_id)

    def rename() -> None:
        answer = rig.ask("PATCH", f"/documents/{renamed}", {"title": "The school's"}, If_Match="*")
        assert answer.status_code == 200

    def remove() -> None:
        assert rig.ask("DELETE", f"/documents/{removed}", If_Match="*").status_code == 204

    moved = moved_while(monkeypatch, context, renamed, other, rename)
    assert isinstance(moved, Document)
    assert (moved.case_id, moved.title) == (other, "The school's")
    monkeypatch.undo()
    assert isinstance(moved_while(monkeypatch, context, removed, other, remove), NotFound)
    eventually(lambda: rig.objects_of(case_id) == [])
    assert rig.is_clean(case_id)
    assert len(rig.objects_of(other)) == 2


def test_an_upload_that_began_before_the_move_comes_to_nothing(rig: Rig) -> None:
    case_id, other = rig.a_case(), rig.a_case()
    document_id = a_document(rig, case_id)
    waits, answers = threading.Event(), []

    def slowly() -> Iterator[bytes]:
        data = samples.jpeg()
        yield data[:1000]
        waits.wait(60)
        yield data[1000:]

    def put() -> None:
        answers.append(rig.ask("PUT", f"/documents/{document_id}/content", data=slowly(), If_Match="*"))

    uploading = threading.Thread(target=put)
    uploading.start()
    eventually(lambda: rig.rows("receiving", case_id=case_id))
    moved = rig.ask("POST", f"/documents/{document_id}/move", {"case_id": other, "reason": "Wrong case"})
    assert moved.status_code == 200, moved.text
    waits.set()
    uploading.join()
    assert answers[0].status_code == 412
    assert case_of(rig, document_id, case_id, other) == other
    eventually(lambda: rig.objects_of(case_id) == [])
    assert rig.is_clean(case_id)
    assert rig.is_clean(other)


def test_of_two_moves_at_once_one_is_done(rig: Rig) -> None:
    case_id, others = rig.a_case(), [rig.a_case(), rig.a_case()]
    document_id, answers = a_document(rig, case_id), []

    def move(to: str) -> None:
        body = {"case_id": to, "reason": "Wrong case"}
        answers.append((rig.ask("POST", f"/documents/{document_id}/move", body).status_code, to))

    threads = [threading.Thread(target=move, args=(to,)) for to in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [to for status, to in answers if status == 200]
    # Each of them may have been first, or the second have begun after it
    assert {status for status, _ in answers} <= {200, 412}
    assert case_of(rig, document_id, case_id, *others) in done
    for one in (case_id, *others):
        eventually(lambda one=one: rig.is_clean(one))  # type: ignore[misc]


def test_a_step_to_purge_leaves_what_came_back(rig: Rig, context: Context) -> None:
    case_id, other = rig.a_case(), rig.a_case()
    document_id = a_document(rig, case_id)
    for to in (other, case_id):
        answer = rig.ask("POST", f"/documents/{document_id}/move", {"case_id": to, "reason": "Wrong case"})
        assert answer.status_code == 200
    # However late the step of the first move runs
    now = utc_now()
    key = f"{case_id}/{document_id}"
    moves.purge_moved(context, StepRow(kind=moves.PURGE_STEP, key=key, case_id=case_id, due=now, attempts=1, now=now))
    assert case_of(rig, document_id, case_id, other) == case_id


def test_moving_it_to_where_it_is_is_a_conflict(rig: Rig, context: Context) -> None:
    case_id = rig.a_case()
    document_id = a_document(rig, case_id)
    with pytest.raises(Conflict):
        moves.move_document(context, document_id=document_id, to=case_id, reason="x", by="a.caseworker")
