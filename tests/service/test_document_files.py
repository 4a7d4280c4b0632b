"""Documents over real gunicorn, MongoDB, RabbitMQ and SeaweedFS: filing, refusing, ranges, versions, removal."""

from __future__ import annotations

import hashlib
import io
import os
import signal
from functools import cache
from pathlib import Path

import pikepdf
import pytest
import requests

from deploy.local.stack import Stack
from shared.ids import new_id
from tests import samples
from tests.helpers import eventually, problem
from tests.service.document_rig import LIMIT, Rig, answer_on, chunk, form, rig_on

pytestmark = pytest.mark.xdist_group("document")

FIELDS = [("kind", "ehc_plan"), ("source", "family")]


@pytest.fixture(scope="module")
def rig(stack: Stack, worker_id: str) -> Rig:
    return rig_on(stack, worker_id)


@pytest.fixture(scope="module")
def case_id(rig: Rig) -> str:
    return rig.a_case()


# Filing


@pytest.mark.parametrize("file_first", [True, False])
def test_a_scan_is_filed_and_comes_back_byte_for_byte(rig: Rig, case_id: str, file_first: bool) -> None:
    scan = samples.pdf_scan(3)
    parts = [("title", "Zoë’s EHC plan"), *FIELDS]
    answer = rig.upload(case_id, *([("file", scan), *parts] if file_first else [*parts, ("file", scan)]))
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["case_id"] == case_id
    assert made["version"] == 1
    assert (made["kind"], made["state"], made["source"]) == ("ehc_plan", "accepted", "family")
    assert (made["media_type"], made["pages"], made["size"]) == ("application/pdf", 3, len(scan))
    assert made["sha256"] == hashlib.sha256(scan).hexdigest()
    assert made["title"] == "Zoë’s EHC plan"
    assert answer.headers["Location"] == f"/v1/documents/{made['id']}"
    assert answer.headers["ETag"]
    content = rig.ask("GET", f"/documents/{made['id']}/content")
    assert content.content == scan
    assert content.headers["Content-Type"] == "application/pdf"
    assert content.headers["Accept-Ranges"] == "bytes"
    known = rig.ask("GET", f"/documents/{made['id']}")
    made.pop("same_as", None)
    assert known.json() == made
    assert made in rig.ask("GET", f"/cases/{case_id}/documents?limit=200").json()["items"]
    assert rig.is_clean(case_id)


@pytest.mark.parametrize(
    ("content", "media_type", "pages"),
    [
        (samples.pdf_text("Hello", pages=4), "application/pdf", 4),
        (samples.jpeg(), "image/jpeg", 1),
        (samples.png(), "image/png", 1),
        (samples.tiff(3), "image/tiff", 3),
    ],
)
def test_the_type_and_the_pages_are_told_from_the_content(
    rig: Rig, case_id: str, content: bytes, media_type: str, pages: int
) -> None:
    made = rig.filed(case_id, content)
    assert (made["media_type"], made["pages"]) == (media_type, pages)


def test_nothing_readable_of_a_document_lies_in_its_record(rig: Rig, case_id: str) -> None:
    made = rig.filed(case_id, title="Featherstone report")
    rows = rig.rows("documents", _id=made["id"]) + rig.rows("versions", document_id=made["id"])
    assert len(rows) == 2
    clear = {"_id", "case_id", "version", "kind", "state", "number", "paper_file_id", "created_at", "at", "document_id"}
    assert all(set(row) - clear == {"personal", "changed"} for row in rows[:1])
    assert set(rows[1]) - clear == {"personal"}
    assert made["sha256"] not in str(rows)
    assert "Featherstone" not in str(rows)


# Refusing: nothing is kept, and the service goes on


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (samples.zip_archive(), (415, "unsupported-media-type")),
        (b"<html>Just some words, called .pdf", (415, "unsupported-media-type")),
        (samples.pdf_encrypted(), (422, "unreadable-file")),
        (samples.truncated(samples.pdf_scan()), (422, "unreadable-file")),
        (samples.truncated(samples.jpeg()), (422, "unreadable-file")),
        (samples.truncated(samples.png()), (422, "unreadable-file")),
        (samples.truncated(samples.tiff()), (422, "unreadable-file")),
        (b"", (422, "unreadable-file")),
    ],
)
def test_a_file_that_cannot_be_kept_leaves_nothing(
    rig: Rig, case_id: str, content: bytes, expected: tuple[int, str]
) -> None:
    before = len(rig.rows("documents", case_id=case_id))
    answer = rig.file(case_id, content)
    assert problem(answer) == expected
    assert len(rig.rows("documents", case_id=case_id)) == before
    assert rig.is_clean(case_id)


LOCKED = samples.pdf_encrypted(user="Löwe & 7")


def test_a_locked_pdf_is_kept_opened_with_its_password_and_the_password_nowhere(rig: Rig, case_id: str) -> None:
    fields: dict[str, str] = {"password": "Löwe & 7", "title": "Report"}
    key = {"Idempotency_Key": new_id()}
    parts: list[tuple[str, str | bytes]] = [("file", LOCKED), *FIELDS, *fields.items()]
    answer = rig.upload(case_id, *parts, **key)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["sha256_as_sent"] == hashlib.sha256(LOCKED).hexdigest()
    assert made["pages"] == 2
    content = rig.ask("GET", f"/documents/{made['id']}/content").content
    assert (len(content), hashlib.sha256(content).hexdigest()) == (made["size"], made["sha256"])
    with pikepdf.open(io.BytesIO(content)) as opened:
        assert not opened.is_encrypted
        assert len(opened.pages) == 2
    assert "password" not in answer.text
    # One object, and of the bytes that were sent no version, marker or unfinished upload.
    versions = [key for key in rig.objects_of(case_id) if made["id"] in key]
    assert len(versions) == 1, versions
    assert rig.is_clean(case_id)
    # The request is known again by everything but its password, which is in nothing that is kept of it.
    other = [part for part in parts if part[0] != "password"]
    assert rig.upload(case_id, *other, **key).json()["id"] == made["id"]
    assert rig.upload(case_id, *other, ("password", "x"), **key).json()["id"] == made["id"]
    assert problem(rig.upload(case_id, *other, ("password", "x"))) == (422, "unreadable-file")


@pytest.mark.parametrize(
    ("password", "said"),
    [(None, "locked with a password"), ("wrong", "doesn't open it"), ("", "locked with a password")],
)
def test_a_locked_pdf_without_its_password_is_refused_with_a_sentence_that_says_so(
    rig: Rig, case_id: str, password: str | None, said: str
) -> None:
    answer = rig.file(case_id, LOCKED, **({} if password is None else {"password": password}))
    assert problem(answer) == (422, "unreadable-file")
    assert said in answer.json()["detail"]
    assert rig.is_clean(case_id)


def test_a_pdf_that_opens_without_its_owners_password_is_kept_as_it_was_sent(rig: Rig, case_id: str) -> None:
    data = samples.pdf_encrypted(user="")
    made = rig.filed(case_id, data)
    assert (made["sha256"], made["sha256_as_sent"]) == (hashlib.sha256(data).hexdigest(), None)
    assert rig.filed(case_id, data, password="not needed")["sha256"] == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(("content", "password"), [(samples.jpeg(), "x"), (LOCKED, "é" * 64)])
def test_a_password_that_cannot_be_one_is_refused(rig: Rig, case_id: str, content: bytes, password: str) -> None:
    answer = rig.file(case_id, content, password=password)
    assert problem(answer) == (400, "invalid")
    assert "password" in answer.json()["errors"]
    assert rig.is_clean(case_id)


def test_active_content_is_told_wherever_the_document_is_listed(rig: Rig, case_id: str) -> None:
    data = samples.pdf_active("javascript", "launch_action", "embedded_files") + samples.zip_archive()
    made = rig.filed(case_id, data)
    assert made["warnings"] == ["embedded_files", "javascript", "launch_action", "trailing_archive"]
    assert rig.ask("GET", f"/documents/{made['id']}").json()["warnings"] == made["warnings"]
    listed = rig.ask("GET", f"/cases/{case_id}/documents?limit=200").json()["items"]
    assert next(one for one in listed if one["id"] == made["id"])["warnings"] == made["warnings"]
    assert rig.ask("GET", f"/documents/{made['id']}/content").content == data


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ([("source", "family")], "kind"),
        ([("kind", "report")], "source"),
        ([("kind", "secret plan"), ("source", "family")], "kind"),
        ([("kind", "report"), ("source", "the school")], "source"),
        ([*FIELDS, ("paper_file_id", new_id())], "paper_file_id"),
        ([*FIELDS, ("paper_file_id", "P-0001")], "paper_file_id"),
        ([*FIELDS, ("title", "x" * 201)], "title"),
        ([*FIELDS, ("colour", "red")], "colour"),
        ([*FIELDS, ("kind", "report")], "kind"),
    ],
)
@pytest.mark.parametrize("file_first", [True, False])
def test_fields_that_do_not_fit_are_named_and_nothing_is_kept(
    rig: Rig, case_id: str, parts: list[tuple[str, str | bytes]], field: str, file_first: bool
) -> None:
    file: tuple[str, str | bytes] = ("file", samples.jpeg())
    answer = rig.upload(case_id, *([file, *parts] if file_first else [*parts, file]))
    assert problem(answer) == (400, "invalid")
    assert field in answer.json()["errors"]
    assert rig.is_clean(case_id)


def test_a_form_without_a_file_and_a_body_that_is_no_form_are_refused(rig: Rig, case_id: str) -> None:
    assert problem(rig.upload(case_id, *FIELDS)) == (400, "invalid")
    path = f"/cases/{case_id}/documents"
    assert problem(rig.ask("POST", path, {"kind": "report"})) == (415, "unsupported-media-type")
    assert rig.is_clean(case_id)


@pytest.mark.parametrize("chunked", [True, False])
def test_a_file_over_the_limit_is_refused_and_its_rest_is_read(rig: Rig, case_id: str, chunked: bool) -> None:
    body = form(*FIELDS, ("file", b"%PDF-1.7\n" + bytes(LIMIT + 3_000_000)))
    pieces = (body[at : at + 100_000] for at in range(0, len(body), 100_000))
    answer = rig.ask(
        "POST",
        f"/cases/{case_id}/documents",
        data=pieces if chunked else body,
        Content_Type="multipart/form-data; boundary=a-boundary-of-tests",
    )
    assert problem(answer) == (413, "too-large")
    assert rig.is_clean(case_id)


def test_a_connection_cut_in_mid_upload_leaves_nothing(rig: Rig, case_id: str) -> None:
    body = form(*FIELDS, ("file", samples.pdf_scan(20)))
    for length in (None, len(body)):
        connection = rig.opened_upload(case_id, body[: len(body) // 2], length=length)
        eventually(lambda: rig.rows("receiving", case_id=case_id))
        connection.close()
        eventually(lambda: rig.is_clean(case_id))
    assert rig.filed(case_id)


def test_a_cut_upload_of_several_parts_leaves_no_unfinished_object(rig: Rig, case_id: str) -> None:
    body = form(*FIELDS, ("file", b"%PDF-1.7\n" + bytes(14_000_000)))
    connection = rig.opened_upload(case_id, body[:12_000_000])
    eventually(lambda: any("unfinished" in key for key in rig.objects_of(case_id)))
    connection.close()
    eventually(lambda: rig.is_clean(case_id))


def test_roles_gate_and_consent_are_settled_before_the_body_is_read(rig: Rig, case_id: str) -> None:
    scan = ("file", samples.jpeg())
    assert problem(rig.upload(case_id, scan, *FIELDS, role="auditor")) == (403, "forbidden")
    assert problem(rig.upload(new_id(), scan, *FIELDS)) == (404, "not-found")
    shell = rig.a_shell()
    assert problem(rig.upload(shell, scan, *FIELDS)) == (409, "consent-required")
    assert not rig.rows("receiving", case_id=shell)
    frozen = rig.a_case()
    rig.freeze(frozen)
    assert problem(rig.upload(frozen, *FIELDS, scan)) == (423, "frozen")
    # Whatever is in the body: it isn't looked at.
    assert problem(rig.upload(frozen, ("colour", "red"))) == (423, "frozen")
    assert not rig.objects_of(frozen)


def test_consent_withdrawn_during_an_upload_refuses_it(rig: Rig) -> None:
    case_id = rig.a_case()
    body = form(*FIELDS, ("file", samples.jpeg()))
    connection = rig.opened_upload(case_id, body[:-40])
    eventually(lambda: rig.rows("receiving", case_id=case_id))
    rig.say_casework(case_id, given=False)
    connection.sendall(chunk(body[-40:]) + b"0\r\n\r\n")
    assert answer_on(connection)[0] == 409
    assert rig.is_clean(case_id)


# P11: from others than the family


def test_p11_a_document_from_another_party_is_quarantined_unless_consent_names_it(rig: Rig) -> None:
    case_id, council, school = rig.a_case(), rig.an_organisation(), rig.an_organisation()
    rig.consent_to_obtain(case_id, council, "report")
    eventually(lambda: rig.row("projections", _id=case_id, **{"standing.purpose": "casework"}))
    assert rig.filed(case_id, source=council)["state"] == "accepted"
    other_kind = rig.filed(case_id, source=council, kind="letter")
    assert other_kind["state"] == "quarantined"
    assert rig.filed(case_id, source=school)["state"] == "quarantined"
    path = f"/documents/{other_kind['id']}"
    shown = rig.ask("GET", path)
    assert shown.json()["state"] == "quarantined"
    assert problem(rig.ask("GET", f"{path}/content")) == (409, "consent-required")
    refused = rig.ask("PUT", f"{path}/content", data=samples.jpeg(), If_Match=shown.headers["ETag"])
    assert problem(refused) == (409, "consent-required")


@pytest.mark.parametrize("file_first", [True, False])
def test_with_the_consent_service_away_nothing_from_others_is_taken(rig: Rig, file_first: bool) -> None:
    case_id = rig.a_case()
    rig.signal("consent-api", signal.SIGSTOP)  # it is there, and doesn't answer
    try:
        fields = [("kind", "report"), ("source", new_id())]
        file: tuple[str, str | bytes] = ("file", samples.jpeg())
        answer = rig.upload(case_id, *([file, *fields] if file_first else [*fields, file]))
        assert problem(answer) == (503, "unavailable")
        assert answer.headers["Retry-After"]
        assert rig.filed(case_id)["state"] == "accepted"
    finally:
        rig.signal("consent-api", signal.SIGCONT)
    assert rig.is_clean(case_id)
    assert len(rig.rows("documents", case_id=case_id)) == 1


# Ranges


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=2000000-", 2_000_000, None),
        ("bytes=-500", -500, None),
        ("bytes=0-99999999", 0, None),
        ("bytes=1048500-1048700", 1_048_500, 1_048_701),
    ],
)
def test_a_range_is_served(rig: Rig, case_id: str, asked: str, start: int, end: int | None) -> None:
    content = _large_pdf()
    made = _large(rig, case_id)
    answer = rig.ask("GET", f"/documents/{made['id']}/content", Range=asked)
    expected = content[start:end]
    assert answer.status_code == 206
    assert answer.content == expected
    first = start if start >= 0 else len(content) + start
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(expected) - 1}/{len(content)}"


def test_a_range_outside_is_416_and_what_is_no_single_range_is_the_whole(rig: Rig, case_id: str) -> None:
    made, size = _large(rig, case_id), len(_large_pdf())
    path = f"/documents/{made['id']}/content"
    for outside in (f"bytes={size}-", "bytes=99999999-", "bytes=-0"):
        answer = rig.ask("GET", path, Range=outside)
        assert problem(answer) == (416, "range-not-satisfiable")
        assert answer.json()["detail"]
        assert answer.headers["Content-Range"] == f"bytes */{size}"
    for whole in ("bytes=5-2", "lines=1-2", "bytes=0-1,4-5", "bytes=a-b"):
        answer = rig.ask("GET", path, Range=whole)
        assert (answer.status_code, len(answer.content)) == (200, size)
    etag = rig.ask("HEAD", path).headers["ETag"]
    assert rig.ask("GET", path, Range="bytes=0-9", If_Range=etag).status_code == 206
    assert rig.ask("GET", path, Range="bytes=0-9", If_Range='"another"').status_code == 200
    head = rig.ask("HEAD", path)
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, str(size), b"")


def test_a_reader_who_leaves_early_costs_no_connection_and_no_thread(rig: Rig, case_id: str) -> None:
    made = _large(rig, case_id)
    process = Path("/proc") / str(rig._api_worker())

    # A service keeps its descriptors private: root alone may count them. Each connection has a thread in any case.
    kinds = ("task", "fd") if os.access(process / "fd", os.R_OK) else ("task",)

    def held() -> list[int]:
        return [len(list((process / kind).iterdir())) for kind in kinds]

    before = held()
    path = f"{rig.provided.urls['document']}/v1/documents/{made['id']}/content"
    for _ in range(40):
        answer = requests.get(path, headers={"Authorization": f"Bearer {rig.token()}"}, stream=True, timeout=10)
        next(answer.iter_content(10))
        answer.close()
    assert rig.ask("GET", f"/documents/{made['id']}/content").content == _large_pdf()
    # gunicorn may have begun more of its own sixteen threads meanwhile.
    eventually(lambda: all(now <= then + 20 for now, then in zip(held(), before, strict=True)))


def test_memory_does_not_grow_with_the_file(rig: Rig, case_id: str) -> None:
    rig.filed(case_id)
    rig.forget_peak()
    before = rig.peak()
    content = samples.pdf_scan(20, width=2480, height=700, quality=60)
    large = content + b"\n%" + bytes(range(1, 9)) * ((LIMIT - len(content)) // 8 - 200) + b"\n"
    large += content[content.rindex(b"startxref") :]
    made = rig.filed(case_id, large)
    assert made["size"] > LIMIT * 0.9
    assert rig.ask("GET", f"/documents/{made['id']}/content").content == large
    # Parts of 5 MiB, copied a few times on their way; the file is twice that.
    assert rig.peak() - before < 45 * 1024 * 1024


# Versions and removal


def test_versions_are_added_and_old_ones_stay(rig: Rig, case_id: str) -> None:
    first, second = samples.pdf_scan(1), samples.png()
    made = rig.filed(case_id, first)
    path = f"/documents/{made['id']}/content"
    etag = rig.ask("GET", path).headers["ETag"]
    assert etag == rig.ask("GET", f"/documents/{made['id']}").headers["ETag"]
    assert problem(rig.ask("PUT", path, data=second)) == (428, "precondition-required")
    bad = rig.ask("PUT", path, data=samples.zip_archive(), If_Match=etag)
    assert problem(bad) == (415, "unsupported-media-type")
    assert problem(rig.ask("PUT", path, data=b"", If_Match=etag)) == (422, "unreadable-file")
    too_large = rig.ask("PUT", path, data=bytes(LIMIT + 1), If_Match=etag)
    assert problem(too_large) == (413, "too-large")
    changed = rig.ask("PUT", path, data=iter([second[:1000], second[1000:]]), If_Match=etag)
    assert changed.status_code == 200, changed.text
    assert (changed.json()["version"], changed.json()["media_type"]) == (2, "image/png")
    assert problem(rig.ask("PUT", path, data=second, If_Match=etag)) == (412, "changed")
    assert rig.ask("GET", path).content == second
    assert rig.ask("GET", path).headers["ETag"] == changed.headers["ETag"]
    assert rig.ask("GET", f"{path}?version=1").content == first
    assert rig.ask("GET", f"{path}?version=2").content == second
    assert problem(rig.ask("GET", f"{path}?version=3")) == (404, "not-found")
    assert problem(rig.ask("GET", f"{path}?version=0")) == (400, "invalid")
    assert rig.is_clean(case_id)
    assert sorted(k.rpartition("/")[2] for k in rig.objects_of(case_id) if made["id"] in k) == ["1", "2"]


def test_a_removed_document_is_gone_at_once_and_its_objects_soon(rig: Rig, case_id: str) -> None:
    made = rig.filed(case_id)
    path = f"/documents/{made['id']}"
    etag = rig.ask("GET", path).headers["ETag"]
    assert problem(rig.ask("DELETE", path, If_Match=etag, role="app")) == (403, "forbidden")
    assert problem(rig.ask("DELETE", path)) == (428, "precondition-required")
    assert problem(rig.ask("DELETE", path, If_Match='"9"')) == (412, "changed")
    assert rig.ask("DELETE", path, If_Match=etag).status_code == 204
    assert problem(rig.ask("GET", path)) == (404, "not-found")
    assert problem(rig.ask("GET", f"{path}/content")) == (404, "not-found")
    assert problem(rig.ask("DELETE", path, If_Match=etag)) == (404, "not-found")
    eventually(lambda: not [key for key in rig.objects_of(case_id) if made["id"] in key])
    eventually(lambda: not rig.rows("documents", _id=made["id"]))
    assert rig.is_clean(case_id)


def test_an_id_of_another_kind_is_not_found(rig: Rig, case_id: str) -> None:
    for path in (f"/documents/{case_id}", "/documents/no-id", f"/documents/{new_id()}/content"):
        assert problem(rig.ask("GET", path)) == (404, "not-found")


# Idempotency


def test_an_idempotency_key_repeats_the_first_answer_of_an_upload(rig: Rig, case_id: str) -> None:
    scan, key = samples.pdf_scan(1), f"zoë-{new_id()}"
    first = rig.upload(case_id, ("file", scan), *FIELDS, Idempotency_Key=key.encode().decode("latin-1"))
    again = rig.upload(case_id, *FIELDS, ("file", scan), Idempotency_Key=key.encode().decode("latin-1"))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    other = rig.upload(case_id, *FIELDS, ("file", samples.jpeg()), Idempotency_Key=key.encode().decode("latin-1"))
    assert problem(other) == (409, "conflict")
    assert rig.is_clean(case_id)


def test_a_document_that_is_removed_is_in_no_kept_answer(rig: Rig, case_id: str) -> None:
    parts, key = [("file", samples.pdf_scan(1)), *FIELDS, ("title", "Żaneta's plan")], new_id()
    made = rig.upload(case_id, *parts, Idempotency_Key=key)
    path = f"/documents/{made.json()['id']}"
    assert rig.ask("DELETE", path, If_Match=made.headers["ETag"]).status_code == 204
    again = rig.upload(case_id, *parts, Idempotency_Key=key)
    assert problem(again) == (409, "conflict")
    assert "has been deleted since" in again.json()["detail"]
    assert [row for row in rig.rows("idempotency", record=made.json()["id"]) if "personal" in row] == []
    assert rig.is_clean(case_id)


# An api that is killed


def test_what_a_killed_api_left_is_swept(rig: Rig, case_id: str) -> None:
    body = form(*FIELDS, ("file", b"%PDF-1.7\n" + bytes(14_000_000)))
    connection = rig.opened_upload(case_id, body[:12_000_000])
    eventually(lambda: any("unfinished" in key for key in rig.objects_of(case_id)))
    rig.signal("document-api", signal.SIGKILL)
    assert rig.rows("receiving", case_id=case_id)  # on a busy machine it may be swept before the api is back
    rig.processes["document-api"].restart()
    connection.close()
    eventually(lambda: rig.is_clean(case_id))
    assert rig.rows("abandoned_uploads", case_id=case_id)
    assert rig.filed(case_id)


_LARGE: dict[str, dict[str, object]] = {}


@cache
def _large_pdf() -> bytes:
    """The same bytes each time: a PDF names itself at random."""
    return samples.pdf_scan(4, width=1240, height=1754, quality=90)


def _large(rig: Rig, case_id: str) -> dict[str, object]:
    if case_id not in _LARGE:
        _LARGE[case_id] = rig.filed(case_id, _large_pdf())
    return _LARGE[case_id]


# What other programs send


def test_a_form_in_latin_1_with_a_latin_1_file_name_is_filed(rig: Rig, case_id: str) -> None:
    title = (
        '--b\r\nContent-Disposition: form-data; name="title"\r\nContent-Type: text/plain; charset=ISO-8859-1\r\n\r\n'
    )
    rest = '--b\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    named = '--b\r\nContent-Disposition: form-data; name="file"; filename="Pl\xe4ne f\xfcr Zo\xeb.pdf"\r\n\r\n'
    fields = rest.format("kind", "report") + rest.format("source", "family") + title + "Ma\xf1ana\vplan\r\n" + named
    body = fields.encode("latin-1") + samples.pdf_scan(2) + b"\r\n--b--\r\n"
    answer = rig.ask("POST", f"/cases/{case_id}/documents", data=body, Content_Type="multipart/form-data; boundary=b")
    assert (answer.status_code, answer.json().get("title")) == (201, "Mañana plan"), answer.text
    unknown = body.replace(b"ISO-8859-1", b"rot13")
    answer = rig.ask(
        "POST", f"/cases/{case_id}/documents", data=unknown, Content_Type="multipart/form-data; boundary=b"
    )
    assert problem(answer) == (400, "invalid")
    assert list(answer.json()["errors"]) == ["title"]
