"""What a family would be given of each store of the document service (P23), files as they were uploaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from deploy.local.stack import Stack
from services.document.store.documents import mark_removing
from shared.db import Exported
from tests import samples
from tests.helpers import eventually
from tests.service.document_rig import Rig, form, rig_on

pytestmark = pytest.mark.xdist_group("document")


@pytest.fixture(scope="module")
def rig(stack: Stack, worker_id: str) -> Rig:
    return rig_on(stack, worker_id)


def exported(rig: Rig, case_id: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Exported]]:
    """What each store exports of the case, less those that export nothing."""
    stores = rig.opened(monkeypatch).runtime.register.stores
    by_store = {name: list(store.export(case_id)) for name, store in stores.items()}
    return {name: items for name, items in by_store.items() if items}


def content_of(item: Exported) -> bytes:
    assert item.content is not None
    with item.content() as file:
        return b"".join(iter(lambda: file.read(100_000), b""))


def test_p23_a_family_is_given_every_version_of_its_files(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given two versions of a document, one that is quarantined, a removed one, and another family's
    case_id, foreign, elsewhere = rig.a_case(), rig.an_organisation(), rig.a_case()
    first, second, third = samples.pdf_scan(3), samples.png(), samples.tiff(2)
    made = rig.filed(case_id, first, title="Zoë’s plan")
    path = f"/documents/{made['id']}"
    etag = rig.ask("GET", path).headers["ETag"]
    assert rig.ask("PUT", f"{path}/content", data=second, If_Match=etag).status_code == 200
    quarantined = rig.filed(case_id, third, source=foreign)
    removed = rig.filed(case_id)
    etag = rig.ask("GET", f"/documents/{removed['id']}").headers["ETag"]
    assert rig.ask("DELETE", f"/documents/{removed['id']}", If_Match=etag).status_code == 204
    rig.filed(elsewhere)

    # When the case is exported
    found = exported(rig, case_id, monkeypatch)

    # Then the files' bytes are those that were uploaded, and each has its record
    assert [content_of(item) for item in found["objects"]] == [first, second, third]
    assert [item.id for item in found["objects"]] == [item.id for item in found["versions"]]
    assert [item.fields for item in found["objects"]] == [
        {"document_id": made["id"], "number": 1, "media_type": "application/pdf"},
        {"document_id": made["id"], "number": 2, "media_type": "image/png"},
        {"document_id": quarantined["id"], "number": 1, "media_type": "image/tiff"},
    ]
    # ... what is known of documents and versions, and nothing that opens an object
    documents = [fields_of(item) for item in found["documents"]]
    assert [one["title"] for one in documents] == ["Zoë’s plan", None]
    assert documents[0] == {
        "kind": "report",
        "state": "accepted",
        "number": 2,
        "paper_file_id": None,
        "created_at": documents[0]["created_at"],
        "source": "family",
        "title": "Zoë’s plan",
        "media_type": "image/png",
        "size": len(second),
        "sha256": documents[0]["sha256"],
        "pages": 1,
        "reason": None,
        "history": [],
        "returned": None,
        "warnings": [],
        "sha256_as_sent": None,
        "attachments": [],
        "attachment_of": None,
        "attached_version": None,
        "attached_number": None,
    }
    assert (documents[1]["source"], documents[1]["reason"]) == (foreign, "no_consent")
    assert [(one["what"], one["by"]) for one in documents[1]["history"]] == [("quarantined", None)]
    of_version = {
        "document_id", "number", "at", "media_type", "size", "sha256", "pages", "warnings", "sha256_as_sent",
        "attachments",
    }  # fmt: skip
    assert [set(item.fields) for item in found["versions"]] == [of_version] * 3
    assert found["versions"][0].fields["sha256"] == made["sha256"]


def test_p23_a_family_is_given_what_is_known_of_its_paper(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    case_id = rig.a_case()
    paper = rig.a_paper(case_id)
    out = {"direction": "out", "who": "Ama Mensah", "reason": "A meeting"}
    assert rig.ask("POST", f"/paper-files/{paper['id']}/movements", out).status_code == 200
    assert rig.certify(paper["id"], method="returned", to="Zoë Łukasińska").status_code == 200
    found = exported(rig, case_id, monkeypatch)
    assert set(found) == {"paper_files", "projections"}
    (item,) = found["paper_files"]
    fields = fields_of(item)
    assert item.id == paper["id"]
    assert set(fields) == {
        *("state", "at", "label", "location", "description", "pages", "out_with", "movements", "disposal")
    }
    assert (fields["label"], fields["description"], fields["pages"]) == (paper["label"], "School letters", 12)
    assert [movement["direction"] for movement in fields["movements"]] == ["out", "in"]
    assert fields["disposal"]["to"] == "Zoë Łukasińska"
    (known,) = found["projections"]
    assert [one["purpose"] for one in known.fields["standing"]] == ["casework"]


def test_paper_that_an_erasure_waits_for_is_exported_until_it_is_certified(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id = rig.a_case()
    paper = rig.a_paper(case_id)
    rig.erase(case_id)
    found = exported(rig, case_id, monkeypatch)
    assert set(found) == {"papers_to_certify"}
    (item,) = found["papers_to_certify"]
    assert (item.id, item.fields["label"], item.fields["location"]) == (
        paper["id"],
        paper["label"],
        paper["location"],
    )
    assert rig.certify(paper["id"]).status_code == 200
    assert exported(rig, case_id, monkeypatch) == {}


def test_what_is_only_on_its_way_is_not_exported(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document that is being removed, and an upload that has begun."""
    case_id = rig.a_case()
    made = rig.filed(case_id)
    connection = rig.opened_upload(case_id, form(("file", samples.jpeg()))[:-40])
    eventually(lambda: rig.rows("receiving", case_id=case_id))
    stores = rig.opened(monkeypatch).context.stores
    document = stores.documents.get(made["id"])
    assert document is not None
    stores.unit_of_work.run(lambda tx: mark_removing(stores.documents, stores.versions, document, tx=tx))
    assert rig.rows("documents", _id=made["id"], state="removing")
    assert set(exported(rig, case_id, monkeypatch)) == {"projections"}
    connection.close()
    assert rig.ask("GET", f"/documents/{made['id']}").status_code == 404
    assert rig.ask("GET", f"/cases/{case_id}/documents").json()["items"] == []


def fields_of(item: Exported) -> Mapping[str, Any]:
    assert item.content is None
    return item.fields
