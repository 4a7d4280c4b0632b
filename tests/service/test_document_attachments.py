"""Emails over the real services: what they have attached, filed as documents, and forgotten with everything else."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
import requests

from deploy.local import mongo, objects
from deploy.local.stack import Stack
from services.document.parsing import media_types
from shared.ids import new_id
from tests import samples, samples_office
from tests.helpers import eventually, problem
from tests.samples_email import NAME, with_inner
from tests.samples_email import email as an_email
from tests.service.document_rig import Rig, rig_on
from tests.unit.test_parsing_photos import heic, webp

pytestmark = pytest.mark.xdist_group("document")

PLAN = samples.pdf_text("A plan", pages=3)
PHOTO = samples.jpeg()


@pytest.fixture(scope="module")
def rig(stack: Stack, worker_id: str) -> Rig:
    return rig_on(stack, worker_id)


@pytest.fixture(scope="module")
def case_id(rig: Rig) -> str:
    return rig.a_case()


def filed_email(rig: Rig, case_id: str, **fields: str) -> dict[str, Any]:
    email = an_email((NAME, "application/pdf", PLAN), ("photo.jpg", "application/octet-stream", PHOTO))
    return rig.filed(case_id, email, kind="letter", **fields)


def attach(rig: Rig, email: str, number: int, *, role: str = "caseworker", key: str | None = None, **more: Any) -> Any:
    """File an attachment as a report."""
    headers = {} if key is None else {"Idempotency_Key": key}
    path = f"/documents/{email}/attachments/{number}"
    return rig.ask("POST", path, {"kind": "report", **more}, role=role, **headers)


# Kinds


@pytest.mark.parametrize(
    ("content", "media_type", "pages", "warnings"),
    [
        (samples_office.docx_by_python(), media_types.DOCX, None, []),
        (samples_office.xlsx_by_python(), media_types.XLSX, None, []),
        (samples_office.odt(), media_types.ODT, None, []),
        (samples_office.open_xml(media_types.DOCM), media_types.DOCM, None, ["macros"]),
        ("Dear Zoë".encode(), media_types.TEXT, None, []),
        (heic(), media_types.HEIC, 1, []),
        (webp(), media_types.WEBP, 1, []),
        (webp() + samples.zip_archive(), media_types.WEBP, 1, ["trailing_archive"]),
    ],
    ids=["docx", "xlsx", "odt", "docm", "txt", "heic", "webp", "webp and zip"],
)
def test_every_kind_is_kept_as_sent_and_served_under_its_media_type(
    rig: Rig, case_id: str, content: bytes, media_type: str, pages: int | None, warnings: list[str]
) -> None:
    made = rig.filed(case_id, content)
    assert (made["media_type"], made["pages"], made["warnings"]) == (media_type, pages, warnings)
    assert made["previewable"] is (pages is not None and not warnings)
    assert "attachments" not in made
    served = rig.ask("GET", f"/documents/{made['id']}/content")
    assert served.content == content
    assert served.headers["Content-Type"] == media_type
    assert served.headers["Content-Disposition"] == "attachment"
    assert served.headers["X-Content-Type-Options"] == "nosniff"
    assert made in rig.ask("GET", f"/cases/{case_id}/documents?limit=200").json()["items"]
    preview = rig.ask("GET", f"/documents/{made['id']}/preview?page=1&width=100")
    assert preview.status_code == (200 if made["previewable"] else 409)


@pytest.mark.parametrize(
    ("content", "expected", "said"),
    [
        (samples_office.compound("WordDocument"), 415, "old Word document"),
        (samples_office.compound("EncryptedPackage"), 422, "locked"),
        (b"<html>", 415, "web page"),
        (samples.zip_archive(), 415, "not a PDF, a picture (JPEG, PNG, TIFF, HEIC, WebP), a Word"),
        (samples_office.open_xml(more={"a.zip": samples_office.zipped({"b.zip": samples.zip_archive()})}), 422, "more"),
        (samples.truncated(an_email((NAME, "application/pdf", PLAN))), 422, "damaged"),
    ],
    ids=["doc", "locked", "html", "zip", "zip in zip in docx", "half an email"],
)
def test_what_is_not_kept_is_told_why_and_leaves_nothing(
    rig: Rig, case_id: str, content: bytes, expected: int, said: str
) -> None:
    answer = rig.file(case_id, content)
    assert (answer.status_code, said in answer.json()["detail"]) == (expected, True), answer.text
    assert "Nothing was kept." in answer.json()["detail"]
    assert rig.is_clean(case_id)


# Attachments


def test_an_email_lists_its_attachments_and_each_is_filed_as_a_document_of_its_own(rig: Rig, case_id: str) -> None:
    email = filed_email(rig, case_id)
    assert email["media_type"] == "message/rfc822"
    assert email["attachments"] == [
        {"n": 1, "name": NAME, "media_type": "application/pdf", "size": len(PLAN)},
        {"n": 2, "name": "photo.jpg", "media_type": "application/octet-stream", "size": len(PHOTO)},
    ]
    answer = attach(rig, email["id"], 1)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert answer.headers["Location"] == f"/v1/documents/{made['id']}"
    assert answer.headers["ETag"] == rig.ask("GET", f"/documents/{made['id']}").headers["ETag"]
    assert (made["kind"], made["source"], made["title"], made["state"]) == ("report", "family", NAME, "accepted")
    assert (made["media_type"], made["pages"], made["size"]) == ("application/pdf", 3, len(PLAN))
    assert (made["attachment_of"], made["version"], made["case_id"]) == (email["id"], 1, case_id)
    assert rig.ask("GET", f"/documents/{made['id']}/content").content == PLAN
    # By its content, whatever the email calls it.
    photo = attach(rig, email["id"], 2, title="At the beach", kind="other").json()
    assert (photo["media_type"], photo["title"], photo["kind"]) == ("image/jpeg", "At the beach", "other")
    shown = rig.ask("GET", f"/documents/{email['id']}").json()
    assert [one["document_id"] for one in shown["attachments"]] == [made["id"], photo["id"]]
    assert shown in rig.ask("GET", f"/cases/{case_id}/documents?limit=200").json()["items"]
    assert rig.is_clean(case_id)


def test_an_email_without_attachments_lists_none(rig: Rig, case_id: str) -> None:
    email = rig.filed(case_id, an_email())
    assert email["attachments"] == []
    assert problem(attach(rig, email["id"], 1)) == (404, "not-found")


def test_an_attachment_is_filed_once_until_its_document_is_removed(rig: Rig, case_id: str) -> None:
    email = filed_email(rig, case_id)["id"]
    made = attach(rig, email, 1)
    again = attach(rig, email, 1, kind="letter")
    assert problem(again) == (409, "conflict")
    assert "Nothing was kept" in again.json()["detail"]
    path = f"/documents/{made.json()['id']}"
    assert rig.ask("DELETE", path, If_Match=made.headers["ETag"]).status_code == 204
    assert "document_id" not in rig.ask("GET", f"/documents/{email}").json()["attachments"][0]
    assert attach(rig, email, 1).status_code == 201
    eventually(lambda: rig.is_clean(case_id))


def test_of_two_who_file_the_same_attachment_at_once_one_does(rig: Rig, case_id: str) -> None:
    email = filed_email(rig, case_id)["id"]
    both = threading.Barrier(2)

    def file(_: int) -> int:
        both.wait()
        return int(attach(rig, email, 1).status_code)

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(file, range(2))) == [201, 409]
    assert len(rig.rows("documents", attachment_of=email)) == 1
    eventually(lambda: rig.is_clean(case_id))


def test_an_idempotency_key_repeats_the_first_answer(rig: Rig, case_id: str) -> None:
    email, key = filed_email(rig, case_id)["id"], new_id()
    first, again = attach(rig, email, 1, key=key), attach(rig, email, 1, key=key)
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert problem(attach(rig, email, 1, key=key, kind="letter")) == (409, "conflict")
    assert rig.is_clean(case_id)


def test_what_does_not_fit_is_refused_and_nothing_is_kept(rig: Rig, case_id: str) -> None:
    email, scan = filed_email(rig, case_id)["id"], rig.filed(case_id)["id"]
    for document, number in ((email, 0), (email, 3), (email, "first"), (scan, 1), (new_id(), 1), (case_id, 1)):
        assert problem(attach(rig, document, number)) == (404, "not-found")  # type: ignore[arg-type]
    assert problem(rig.ask("POST", f"/documents/{email}/attachments/1", {})) == (400, "invalid")
    for more in ({"kind": "secret"}, {"source": "the school"}, {"source": new_id()}, {"title": "x" * 201}, {"to": "x"}):
        answer = attach(rig, email, 1, **more)
        assert problem(answer) == (400, "invalid")
        assert list(more) == list(answer.json()["errors"])
    for role in ("auditor", "safeguarding_lead", "data_protection"):
        assert problem(attach(rig, email, 1, role=role)) == (403, "forbidden")
    assert rig.is_clean(case_id)


def test_an_attachment_of_a_kind_that_is_not_kept_is_refused_and_the_email_stays(rig: Rig, case_id: str) -> None:
    email = rig.filed(case_id, an_email(("a.pdf", "application/pdf", samples.zip_archive()), ("b.txt", "a/b", b"")))
    assert problem(attach(rig, email["id"], 1)) == (415, "unsupported-media-type")
    assert problem(attach(rig, email["id"], 2)) == (422, "unreadable-file")
    assert rig.ask("GET", f"/documents/{email['id']}").json() == email
    assert rig.is_clean(case_id)


def test_an_attached_email_is_an_email_with_attachments_of_its_own(rig: Rig, case_id: str) -> None:
    inner = an_email((NAME, "application/pdf", PLAN))
    email = rig.filed(case_id, with_inner(inner))
    made = attach(rig, email["id"], 1).json()
    assert (made["media_type"], made["title"]) == ("message/rfc822", None)
    assert rig.ask("GET", f"/documents/{made['id']}/content").content == inner
    plan = attach(rig, made["id"], 1).json()
    assert rig.ask("GET", f"/documents/{plan['id']}/content").content == PLAN


def test_a_new_version_of_an_email_has_attachments_of_its_own(rig: Rig, case_id: str) -> None:
    email = filed_email(rig, case_id)
    assert attach(rig, email["id"], 1).status_code == 201
    path = f"/documents/{email['id']}/content"
    etag = rig.ask("GET", path).headers["ETag"]
    newer = rig.ask("PUT", path, data=an_email(("b.jpg", "image/jpeg", PHOTO)), If_Match=etag)
    assert newer.json()["attachments"] == [{"n": 1, "name": "b.jpg", "media_type": "image/jpeg", "size": len(PHOTO)}]
    assert attach(rig, email["id"], 1).json()["media_type"] == "image/jpeg"
    scan = rig.ask("PUT", path, data=samples.png(), If_Match=newer.headers["ETag"])
    assert "attachments" not in scan.json()
    assert problem(attach(rig, email["id"], 1)) == (404, "not-found")


def test_p11_an_attachment_needs_the_consent_that_a_document_does(rig: Rig) -> None:
    case_id, council, school = rig.a_case(), rig.an_organisation(), rig.an_organisation()
    rig.consent_to_obtain(case_id, council, "letter")
    eventually(lambda: rig.row("projections", _id=case_id, **{"standing.purpose": "casework"}))
    email = filed_email(rig, case_id, source=council)
    assert email["state"] == "accepted"
    # The consent is for letters: the report that came with one is quarantined.
    report, letter = attach(rig, email["id"], 1).json(), attach(rig, email["id"], 2, kind="letter").json()
    assert (report["state"], report["source"]) == ("quarantined", council)
    assert letter["state"] == "accepted"
    closed = filed_email(rig, case_id, source=school)
    assert closed["state"] == "quarantined"
    assert "attachments" not in rig.ask("GET", f"/documents/{closed['id']}").json()
    assert problem(attach(rig, closed["id"], 1)) == (409, "consent-required")
    assert rig.is_clean(case_id)


def test_nothing_readable_of_an_attachment_lies_in_a_store_or_a_log(rig: Rig) -> None:
    case_id = rig.a_case()
    email = filed_email(rig, case_id)
    attach(rig, email["id"], 1, key=new_id())
    attach(rig, email["id"], 99)
    rig.filed(case_id, an_email((NAME, "application/pdf", samples.zip_archive())))
    assert found_in_clear(rig, *NAME_FORMS) == []
    # The search would find it: an id is in clear in the database, and the pattern of a route in a log.
    found = found_in_clear(rig, case_id.encode(), b"/attachments/")
    assert any(place.endswith(".gates") for place in found)
    assert any(place.endswith(".log") for place in found)


def test_p24_an_emails_attachments_are_erased_with_it(rig: Rig) -> None:
    case_id = rig.a_case()
    email = filed_email(rig, case_id)
    plan, photo = attach(rig, email["id"], 1, key=new_id()).json(), attach(rig, email["id"], 2).json()
    receipt = rig.erase(case_id)
    counts = {store["store"]: store["found"] for store in receipt["stores"]}
    assert (receipt["outcome"], counts["objects"], counts["documents"], counts["versions"]) == ("erased", 3, 3, 3)
    assert all(store["remaining"] == 0 for store in receipt["stores"])
    assert not rig.objects_of(case_id)
    for store in ("documents", "versions", "receiving", "idempotency"):
        assert not rig.rows(store, case_id=case_id)
    for document in (email, plan, photo):
        assert problem(rig.ask("GET", f"/documents/{document['id']}")) == (404, "not-found")
    assert problem(attach(rig, email["id"], 1)) == (404, "not-found")
    assert found_in_clear(rig, *NAME_FORMS) == []


def test_while_the_case_is_frozen_no_attachment_is_filed(rig: Rig) -> None:
    case_id = rig.a_case()
    email = filed_email(rig, case_id)
    rig.freeze(case_id)
    assert problem(attach(rig, email["id"], 1)) == (423, "frozen")
    assert rig.ask("GET", f"/documents/{email['id']}").json()["attachments"] == email["attachments"]
    assert rig.is_clean(case_id)


def test_an_api_killed_while_it_files_an_attachment_leaves_nothing_half_stored(rig: Rig) -> None:
    case_id = rig.a_case()
    large = b"%PDF-1.7\n" + bytes(14_000_000)
    email = rig.filed(case_id, an_email(("a.pdf", "application/pdf", large), ("b.pdf", "application/pdf", PLAN)))["id"]

    def file() -> None:
        with suppress(requests.ConnectionError):
            attach(rig, email, 1)

    filing = threading.Thread(target=file)
    filing.start()
    eventually(lambda: rig.rows("receiving", case_id=case_id) or not filing.is_alive())
    assert rig.rows("receiving", case_id=case_id)
    rig.signal("document-api", signal.SIGKILL)
    rig.processes["document-api"].restart()
    filing.join()
    eventually(lambda: rig.is_clean(case_id))
    assert len(rig.rows("documents", case_id=case_id)) == 1
    assert attach(rig, email, 2).status_code == 201


NAME_FORMS = [
    form
    for word in NAME.removesuffix(".pdf").split()
    if len(word) > 5
    for form in (word.encode(), word.encode("utf-16-le"), ascii(word)[1:-1].encode())
]


def found_in_clear(rig: Rig, *words: bytes) -> list[str]:
    """Where in the servers' data, or in a log, one of these can be read."""
    found = []
    with mongo.admin_client(rig.stack.places, rig.stack.ports) as client:
        for database in (name for name in client.list_database_names() if name.startswith(rig.provided.prefix)):
            for collection in client[database].list_collection_names():
                rows = b"".join(client[database][collection].find_raw_batches({}))
                found += [f"{database}.{collection}" for word in words if word in rows]
    store, bucket = objects.admin(rig.stack.places, rig.stack.ports).s3, f"{rig.provided.prefix}-document"
    for item in store.list_objects(bucket, recursive=True):
        answer = store.get_object(bucket, str(item.object_name))
        content = answer.data
        answer.close()
        answer.release_conn()
        found += [str(item.object_name) for word in words if word in content]
    for path in rig.stack.places.logs.rglob("*.log"):
        content = path.read_bytes()
        found += [path.name for word in words if word in content]
    return found
