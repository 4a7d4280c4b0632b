"""Strangers' files at the real document service: hostile ones, and readers that die, while the others' go on."""

from __future__ import annotations

import io
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests
from PIL import Image

from deploy.local.stack import Stack
from tests import samples
from tests.helpers import eventually, problem, refused
from tests.service.document_rig import Answer, Rig, children_of, form, rig_on

pytestmark = pytest.mark.xdist_group("document")

HOSTILE = {
    "a JPEG of three thousand scans": samples.jpeg_of_scans(3_000),
    "a PNG of 60,000 by 60,000": samples.png_of_size(60_000, 60_000),
    "a ZIP in a ZIP in a DOCX": samples.docx_of_zips(),
    **samples.pdfs_without_end(),
}
#: Takes its reader seconds, and is a good file all the same.
SLOW = samples.jpeg_of_scans(150, side=6_000)


@pytest.fixture(scope="module")
def rig(stack: Stack, worker_id: str) -> Rig:
    return rig_on(stack, worker_id)


@pytest.fixture(scope="module")
def case_id(rig: Rig) -> str:
    return rig.a_case()


def fork_server(rig: Rig) -> int:
    """The pid of the api's fork server."""

    def found() -> list[int]:
        with suppress(OSError):
            # Its parent is the thread that started it.
            tasks = Path(f"/proc/{rig._api_worker()}/task").iterdir()
            pids = [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
            return [pid for pid in pids if b"parsing.server" in _of(pid, "cmdline")]
        return []

    return eventually(found)[0]


def readers(server: int) -> list[int]:
    """The children that have a file in hand."""
    with suppress(OSError):
        return [pid for pid in children_of(server) if _has_a_file(pid)]
    return []


def _has_a_file(pid: int) -> bool:
    if os.geteuid() != 0:
        # Only root sees what it has open. One that waits for a file has used no processor time to speak of.
        return _ticks_of(pid) >= 15
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/fd/3").endswith("(deleted)") and not Path(f"/proc/{pid}/fd/6").exists()
    return False


def _ticks_of(pid: int) -> int:
    """Its processor time so far, in hundredths of a second."""
    fields = _of(pid, "stat").rpartition(b")")[2].split()
    return int(fields[11]) + int(fields[12]) if fields else 0


def _of(pid: int, name: str) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_bytes()
    return b""


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@contextmanager
def others_upload(rig: Rig, case_id: str) -> Iterator[list[int]]:
    """Have scans filed all the while, by somebody else; the statuses of the answers."""
    done, statuses = threading.Event(), [rig.file(case_id, samples.pdf_scan(1)).status_code]

    def upload() -> None:
        while not done.is_set():
            statuses.append(rig.file(case_id, samples.pdf_scan(1)).status_code)

    uploader = threading.Thread(target=upload)
    uploader.start()
    try:
        yield statuses
    finally:
        done.set()
        uploader.join()


def test_the_service_says_how_files_are_kept_apart(rig: Rig) -> None:
    with requests.Session() as session:
        session.trust_env = False
        ready = session.get(f"{rig.provided.urls['document']}/readyz", timeout=30)
    assert ready.status_code == 200, ready.text
    assert ready.json()["sandbox"] == "seccomp"


def test_hostile_files_are_refused_while_others_are_filed(rig: Rig, case_id: str) -> None:
    with others_upload(rig, case_id) as statuses:
        for name, content in HOSTILE.items():
            before = len(rig.rows("versions", case_id=case_id))
            answer = rig.file(case_id, content)
            assert problem(answer) in ((422, "unreadable-file"), (415, "unsupported-media-type")), name
            assert "Nothing was kept." in answer.json()["detail"]
            assert len(rig.rows("versions", case_id=case_id)) >= before
    assert set(statuses) == {201}
    eventually(lambda: rig.is_clean(case_id))
    assert readers(fork_server(rig)) == []


@pytest.mark.parametrize("seed", range(6))
def test_a_reader_that_is_killed_costs_its_upload_and_no_other(rig: Rig, case_id: str, seed: int) -> None:
    server, chance, answers = fork_server(rig), random.Random(seed), list[Answer]()
    uploader = threading.Thread(target=lambda: answers.append(rig.file(case_id, SLOW)))
    with others_upload(rig, case_id):
        uploader.start()
        time.sleep(chance.random())
        for pid in eventually(lambda: readers(server)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        uploader.join()
    assert answers[0].status_code in (201, 503), answers[0].text  # it may have been another's reader
    if answers[0].status_code == 503:
        refused(answers[0], 503, "unavailable")
        assert "Retry-After" in answers[0].headers
    assert rig.file(case_id, samples.pdf_scan(1)).status_code == 201
    eventually(lambda: rig.is_clean(case_id))


def test_a_fork_server_that_is_killed_is_started_anew(rig: Rig, case_id: str) -> None:
    server, answers = fork_server(rig), list[Answer]()
    uploader = threading.Thread(target=lambda: answers.append(rig.file(case_id, SLOW)))
    uploader.start()
    (reader,) = eventually(lambda: readers(server))
    os.kill(server, signal.SIGKILL)
    uploader.join()
    refused(answers[0], 503, "unavailable")
    assert is_gone(reader)
    assert rig.file(case_id, samples.pdf_scan(1)).status_code == 201
    assert fork_server(rig) != server
    assert is_gone(server)  # not as a zombie either
    eventually(lambda: rig.is_clean(case_id))


def test_a_caller_that_goes_away_ends_the_reading_and_nothing_is_kept(rig: Rig) -> None:
    case_id, server = rig.a_case(), fork_server(rig)
    body = form(("kind", "report"), ("source", "family"), ("file", SLOW))
    with rig.opened_upload(case_id, body, length=len(body)):
        (reader,) = eventually(lambda: readers(server))
    eventually(lambda: is_gone(reader))
    eventually(lambda: not rig.rows("receiving", case_id=case_id))
    assert rig.objects_of(case_id) == []
    assert rig.rows("versions", case_id=case_id) == []


def test_an_erasure_ends_the_reading_of_its_cases_file(rig: Rig) -> None:
    case_id, server, answers = rig.a_case(), fork_server(rig), list[Answer]()
    uploader = threading.Thread(target=lambda: answers.append(rig.file(case_id, SLOW)))
    uploader.start()
    eventually(lambda: readers(server))
    rig.erase(case_id)
    uploader.join()
    assert answers[0].status_code in (410, 201), answers[0].text
    assert rig.objects_of(case_id) == []
    assert rig.rows("versions", case_id=case_id) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into a process that keeps its memory private")
def test_who_reads_files_has_no_secret_of_the_service(rig: Rig, case_id: str) -> None:
    secrets = {
        path.name: value
        for path in rig.provided.secrets["document"].iterdir()
        if path.is_file() and len(value := path.read_bytes().strip()) >= 16
    }
    assert {"mongo-url", "s3-secret-key"} <= secrets.keys()
    server = fork_server(rig)
    uploader = threading.Thread(target=lambda: rig.file(case_id, SLOW))
    uploader.start()
    (reader,) = eventually(lambda: readers(server))
    os.kill(reader, signal.SIGSTOP)
    try:
        for pid in (server, reader):
            assert _of(pid, "environ") == b""
            memory = _memory(pid)
            assert len(memory) > 10_000_000
            assert [name for name, value in secrets.items() if value in memory] == []
        links = [os.readlink(f"/proc/{reader}/fd/{name}") for name in os.listdir(f"/proc/{reader}/fd")]
        assert not any("socket" in link for link in links)
        # What is looked for can be found where it is.
        own = _memory(rig._api_worker())
        assert secrets["s3-secret-key"] in own
    finally:
        os.kill(reader, signal.SIGCONT)
        uploader.join()


def _memory(pid: int) -> bytes:
    found = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place, rights = line.split()[:2]
            if not rights.startswith("rw"):
                continue
            start, end = (int(part, 16) for part in place.split("-"))
            with suppress(OSError):  # a part of a mapping that isn't there
                memory.seek(start)
                found.append(memory.read(end - start))
    return b"".join(found)


# Previews

KINDS = {
    "PDF": samples.pdf_scan(3),
    "JPEG": samples.jpeg(640, 480),
    "PNG": samples.png(),
    "TIFF": samples.tiff(3),
    "a fax": samples.tiff(3, compression="group4", mode="1"),
}


def shown(answer: Answer) -> Image.Image:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Cache-Control"] == "no-store"
    picture = Image.open(io.BytesIO(answer.content), formats=("PNG",))
    picture.load()
    return picture


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_shown_as_a_png_of_the_width_asked_for(rig: Rig, case_id: str, kind: str) -> None:
    document = rig.filed(case_id, KINDS[kind])
    assert document["previewable"] is True
    path, objects = f"/documents/{document['id']}/preview", rig.objects_of(case_id)
    assert shown(rig.ask("GET", path)).width == 800
    for page in range(1, document["pages"] + 1):
        assert shown(rig.ask("GET", f"{path}?page={page}&width=123")).width == 123
    refused(rig.ask("GET", f"{path}?page={document['pages'] + 1}"), 404, "not-found")
    assert rig.objects_of(case_id) == objects


def test_a_preview_is_of_the_right_page_and_of_the_version_asked_for(rig: Rig, case_id: str) -> None:
    document = rig.filed(case_id, samples.tiff(2, seed=1))
    path = f"/documents/{document['id']}"
    pages = [rig.ask("GET", f"{path}/preview?page={page}&width=200").content for page in (1, 2)]
    assert pages[0] != pages[1]
    expected = samples.picture(200, 150, seed=2)
    assert Image.open(io.BytesIO(pages[1])).convert("RGB").tobytes() == expected.tobytes()
    answer = rig.ask("PUT", f"{path}/content", data=samples.png(), If_Match=rig.ask("GET", path).headers["ETag"])
    assert answer.status_code == 200, answer.text
    refused(rig.ask("GET", f"{path}/preview?page=2&width=200"), 404, "not-found")
    assert rig.ask("GET", f"{path}/preview?page=2&width=200&version=1").content == pages[1]


@pytest.mark.parametrize(
    ("query", "field"),
    [("page=0", "page"), ("page=-1", "page"), ("page=x", "page"), ("width=15", "width"), ("width=2001", "width"),
     ("wide=1", "wide")],
)  # fmt: skip
def test_a_preview_of_no_page_or_no_width_is_refused(rig: Rig, case_id: str, query: str, field: str) -> None:
    document = rig.filed(case_id)
    refused(rig.ask("GET", f"/documents/{document['id']}/preview?{query}"), 400, "invalid", field)


def test_what_is_kept_closed_is_not_shown(rig: Rig, case_id: str) -> None:
    document = rig.filed(case_id, source=rig.an_organisation())
    assert (document["state"], document["previewable"]) == ("quarantined", False)
    refused(rig.ask("GET", f"/documents/{document['id']}/preview"), 409, "consent-required")


def test_a_preview_is_audited_as_a_look_at_the_case_and_not_for_everyone(rig: Rig, case_id: str) -> None:
    document = rig.filed(case_id)
    path = f"/documents/{document['id']}/preview"
    assert rig.ask("GET", path, role="auditor").status_code == 403
    shown(rig.ask("GET", path))
    rows = rig.rows("audit", record_id=document["id"], action="content.preview_content")
    assert {(row["role"], row["outcome"]) for row in rows} == {("auditor", "denied"), ("caseworker", "done")}
    assert [row["case_id"] for row in rows if row["outcome"] == "done"] == [case_id]
