"""Reading the document service's stores."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from services.document.model.documents import Casework
from services.document.model.papers import Disposed, Movement
from tests.contracts.stored.ids import (
    CASE,
    DOCUMENT,
    ERASED,
    PAPER,
    QUARANTINED,
    SCHOOL,
    numbered,
)
from tests.contracts.stored.opening import Opened, Row
from tests.contracts.stored.reading import Reading

WHEN = datetime(2026, 3, 14, 9, 26, 53, 589_000, tzinfo=UTC)
_OUT = Movement(direction="out", who="Żaneta", reason="Tribunal", at=WHEN)


def _save_document(opened: Opened, tx: Any, document: Any) -> None:
    """A document is written anew with a version; one of the same content leaves all but its number as it was."""
    newest = opened.stores.documents.version(document.id, document.number)
    again = replace(newest, id=numbered(599 - document.number), content=document.content)
    opened.stores.documents.add_version(tx, document, again)


def _content(opened: Opened, row: Row) -> bytes:
    """The bytes of an object, decrypted with the keyset of its version."""
    _, document_id, number = row["_id"].split("/")
    with opened.stores.files.open(opened.stores.documents.version(document_id, int(number))) as file:
        return bytes(file.read(1000))


def _upload(opened: Opened, row: Row) -> Any:
    return next(one for one in opened.stores.receiving.of_case(row["case_id"]) if one.id == row["_id"])


def _abandoned(opened: Opened, row: Row) -> Any:
    return next(one for one in opened.stores.receiving.abandoned_uploads() if one.id == row["_id"])


def _projection(opened: Opened, row: Row) -> Any:
    return row["case_id"], opened.stores.projections.casework(row["case_id"])


DOCUMENT_STORES = {
    "objects": Reading(read=_content, told=[b"%PDF-1.7 first \xe2\x82\xac", b"%PDF-1.7 second", b"II*\x00 a picture"]),
    "documents": Reading(
        read=lambda o, row: o.stores.documents.get(row["_id"]),
        save=_save_document,
        told=[
            {
                "etag": 2,
                "kind": "ehc_plan",
                "state": "accepted",
                "source": "family",
                "title": "Zoë’s plan – draft",
                "paper_file_id": PAPER,
                "number": 2,
                "content.media_type": "application/pdf",
                "content.size": 15,
                "content.pages": 2,
                "created_at": WHEN,
            },
            {"state": "quarantined", "source": SCHOOL, "title": None, "paper_file_id": None, "number": 1},
            None,
        ],
    ),
    "versions": Reading(
        read=lambda o, row: o.stores.documents.version(row["document_id"], row["number"]),
        told=[
            {"document_id": DOCUMENT, "number": 1, "content.size": 18, "at": WHEN + timedelta(days=1)},
            {"document_id": DOCUMENT, "number": 2, "content.pages": 2},
            {"document_id": QUARANTINED, "number": 1, "content.media_type": "image/tiff"},
        ],
    ),
    "paper_files": Reading(
        read=lambda o, row: o.stores.papers.get(row["_id"]),
        save=lambda o, tx, paper: o.stores.papers.change(tx, paper, paper),
        told=[
            {"state": "held", "label": "P-0007", "description": None, "pages": None, "movements": (), "disposal": None},
            {
                "state": "out",
                "location": "Schrank 3, Fach Ö",
                "description": "A green folder, “school”",
                "pages": 120,
                "out_with": "Żaneta",
                "registered_at": WHEN,
                "movements": (_OUT,),
                "disposed_at": None,
            },
            {
                "state": "returned",
                "out_with": None,
                "movements": (_OUT, Movement(direction="in", who="worker-1", reason=None, at=WHEN)),
                "disposal": Disposed(
                    method="returned", by="worker-1", witnessed_by="worker-2", to="Żaneta", reason=None, at=WHEN
                ),
                "disposed_at": WHEN,
            },
        ],
    ),
    "papers_to_certify": Reading(
        read=lambda o, row: o.stores.papers.late_get(row["_id"]),
        save=lambda o, tx, paper: o.stores.papers.change_late(tx, paper, paper),
        told=[
            {"etag": 2, "state": "out", "label": "P-0007", "location": "Schrank 3, Fach Ö", "out_with": "Ève, Umzug"},
            {"etag": 1, "state": "held", "case_id": ERASED, "out_with": None},
        ],
    ),
    "paper_disposals": Reading(
        read=lambda o, row: o.stores.papers.disposal(row["_id"]),
        told=[{"case_id": ERASED, "state": "not_found", "label": None}],
    ),
    "counters": Reading(read=lambda o, row: o.stores.papers.next_number(), told=[8]),
    "projections": Reading(
        read=_projection,
        save=lambda o, tx, model: o.stores.projections.put_casework(tx, *model),
        told=[
            {"1": Casework(given=True, until=WHEN + timedelta(days=365))},
            {"1": Casework(given=False, until=None)},
        ],
    ),
    "receiving": Reading(
        read=_upload,
        told=[
            {"case_id": CASE, "document_id": numbered(54), "number": 1},
            {"document_id": numbered(54), "number": 2, "object_key": f"{CASE}/{numbered(54)}/2"},
        ],
    ),
    "abandoned_uploads": Reading(read=_abandoned, told=[{"case_id": CASE, "number": 3}]),
}
