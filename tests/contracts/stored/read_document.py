"""Reading the document service's stores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from services.document.model.papers import Disposed, Movement
from services.document.store.papers import disposal_of, moved_so_far, next_number
from shared.known_consents import StandingConsent
from tests.contracts.stored.ids import (
    CASE,
    DOCUMENT,
    ERASED,
    PAPER,
    SCHOOL,
    numbered,
)
from tests.contracts.stored.opening import Opened, Row
from tests.contracts.stored.reading import Reading

WHEN = datetime(2026, 3, 14, 9, 26, 53, 589_000, tzinfo=UTC)
_OUT = Movement(direction="out", who="Żaneta", reason="Tribunal", at=WHEN)


def _content(opened: Opened, row: Row) -> bytes:
    """The bytes of an object, decrypted with the keyset of its version."""
    _, document_id, number = row["_id"].split("/")
    version = opened.stores.versions.first({"document_id": document_id, "number": int(number)})
    with opened.stores.files.open(version) as file:
        return bytes(file.read(1000))


def _abandoned(opened: Opened, row: Row) -> Any:
    return next(one for one in opened.stores.receiving.abandoned_uploads() if one.id == row["_id"])


DOCUMENT_STORES = {
    "objects": Reading(read=_content, told=[b"%PDF-1.7 first \xe2\x82\xac", b"%PDF-1.7 second", b"II*\x00 a picture"]),
    "documents": Reading(
        told=[
            {
                "version": 2,
                "title": "Zoë’s plan – draft",
                "paper_file_id": PAPER,
                "number": 2,
                "pages": 2,
                # Of before there were any.
                "warnings": (),
                "sha256_as_sent": None,
                "created_at": WHEN,
                # Stored before emails had attachments.
                "attachments": (),
                "attachment_of": None,
            },
            {
                "state": "quarantined",
                "closed_for": "no_consent",
                "source": SCHOOL,
                "title": None,
                "paper_file_id": None,
            },
            None,
        ],
    ),
    "versions": Reading(
        told=[
            {"document_id": DOCUMENT, "number": 1, "size": 18, "at": WHEN + timedelta(days=1)},
            {"pages": 2, "warnings": (), "sha256_as_sent": None},
            {"media_type": "image/tiff"},
        ],
    ),
    "paper_files": Reading(
        told=[
            {"label": "P-0007", "description": None, "pages": None, "movements": (), "disposal": None},
            {"state": "out", "pages": 120, "out_with": "Żaneta", "at": WHEN, "movements": (_OUT,)},
            {
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
        told=[{"version": 2, "location": "Schrank 3, Fach Ö", "out_with": "Ève, Umzug"}, {"out_with": None}]
    ),
    "paper_disposals": Reading(
        read=lambda o, row: disposal_of(o.stores.paper_disposals, row["_id"]),
        told=[{"case_id": ERASED, "state": "not_found"}],
    ),
    "cabinet_moves": Reading(
        read=lambda o, row: moved_so_far(o.stores.cabinet_moves, row["_id"]),
        told=[{"id": numbered(71), "moved": 40}],
        samples=[{"_id": numbered(71), "moved": 40, "at": WHEN}],
    ),
    "counters": Reading(read=lambda o, row: next_number(o.stores.counters), told=[8]),
    # In `before`, as they were written before the other consents were kept too.
    "projections": Reading(
        told=[
            {"standing": (StandingConsent(consent=CASE, purpose="casework", until=WHEN + timedelta(days=365)),)},
            {"standing": ()},
        ],
    ),
    "receiving": Reading(
        told=[
            {"document_id": numbered(54), "number": 1},
            {"number": 2, "object_key": f"{CASE}/{numbered(54)}/2"},
        ],
    ),
    "abandoned_uploads": Reading(read=_abandoned, told=[{"case_id": CASE, "number": 3}]),
}
