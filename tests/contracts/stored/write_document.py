"""Records of the document service, written through its stores (see make.py)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from typing import Any

from services.document.model.documents import Casework, Content, Document, Version
from services.document.model.papers import Disposed, Movement, PaperFile, disposed, moved
from services.document.store.receiving import Upload
from services.document.upload.crypt import EncryptingReader, new_keyset
from shared.db.unit_of_work import Tx
from tests.contracts.stored.ids import (
    CASE,
    DOCUMENT,
    ERASED,
    FROZEN,
    PAPER,
    PAPER_LATE,
    PAPER_OUT,
    PAPER_SHREDDED,
    QUARANTINED,
    REMOVING,
    SCHOOL,
    numbered,
)
from tests.contracts.stored.opening import Opened

WHEN = datetime(2026, 3, 14, 9, 26, 53, 589_000, tzinfo=UTC)
BYTES = {1: b"%PDF-1.7 first \xe2\x82\xac", 2: b"%PDF-1.7 second", 3: b"II*\x00 a picture"}


def write_document(opened: Opened) -> None:
    kit, stores = opened.kit, opened.stores
    versions = _versions()
    for version, content in versions:
        key = version.object_key
        stores.files.put(key, EncryptingReader(BytesIO(content), version.keyset, key.encode()))
    stores.papers.make_late_key(ERASED)
    late_out = replace(_paper(PAPER_LATE), case_id=ERASED)
    numbers = [stores.papers.next_number() for _ in range(7)]
    assert numbers[-1] == 7

    def act(tx: Tx) -> None:
        _documents(stores, tx, [version for version, _ in versions])
        for paper in _papers():
            stores.papers.add(tx, paper)
        for paper in (late_out, replace(_paper(numbered(65)), case_id=ERASED)):
            stores.papers.add(tx, paper)
            stores.papers.make_late(tx, paper)
        stores.papers.add_disposal(tx, replace(_paper(numbered(66)), case_id=ERASED), "not_found")
        stores.projections.put_casework(tx, CASE, Casework(given=True, until=WHEN + timedelta(days=365)))
        stores.projections.put_casework(tx, FROZEN, Casework(given=False, until=None))
        for upload in _uploads():
            stores.receiving.begin(tx, upload)

    def change_late(tx: Tx) -> None:
        before = stores.papers.late_get(PAPER_LATE, tx=tx)
        stores.papers.change_late(tx, before, replace(before, state="out", out_with="Ève, Umzug"))

    kit.unit_of_work.run(act, answers=False)
    kit.unit_of_work.run(change_late, answers=False)
    _, stopped, slow = _uploads()
    stores.receiving.stop(stopped.id)
    kit.unit_of_work.run(lambda tx: stores.receiving.abandon(tx, slow), answers=False)


def _versions() -> list[tuple[Version, bytes]]:
    made = []
    for number, document_id, version in ((1, DOCUMENT, 1), (2, DOCUMENT, 2), (3, QUARANTINED, 1)):
        content = BYTES[number]
        what = Content(
            media_type="image/tiff" if number == 3 else "application/pdf",
            size=len(content),
            sha256=sha256(content).hexdigest(),
            pages=number,
        )
        record = Version(
            id=numbered(500 + number),
            case_id=CASE,
            document_id=document_id,
            number=version,
            content=what,
            keyset=new_keyset(),
            at=WHEN + timedelta(days=number),
        )
        made.append((record, content))
    return made


def _documents(stores: Any, tx: Tx, versions: list[Version]) -> None:
    first, second, third = versions
    plan = Document(
        id=DOCUMENT,
        case_id=CASE,
        etag=1,
        kind="ehc_plan",
        state="accepted",
        source="family",
        title="Zoë’s plan – draft",
        paper_file_id=PAPER,
        number=1,
        content=first.content,
        created_at=WHEN,
    )
    stores.documents.add_version(tx, stores.documents.add(tx, plan, first), second)
    foreign = replace(
        plan, id=QUARANTINED, kind="other", state="quarantined", source=SCHOOL, title=None, paper_file_id=None
    )
    stores.documents.add(tx, replace(foreign, content=third.content), third)
    going = replace(plan, id=REMOVING, kind="letter")
    gone = replace(first, id=numbered(504), document_id=REMOVING)
    stores.documents.mark_removing(tx, stores.documents.add(tx, going, gone))


def _paper(id: str) -> PaperFile:
    return PaperFile(
        id=id,
        case_id=CASE,
        etag=1,
        state="held",
        label="P-0007",
        location="Schrank 3, Fach Ö",
        description="A green folder, “school”",
        pages=120,
        out_with=None,
        registered_at=WHEN,
    )


def _papers() -> list[PaperFile]:
    out = moved(_paper(PAPER_OUT), Movement(direction="out", who="Żaneta", reason="Tribunal", at=WHEN))
    bare = replace(_paper(PAPER), description=None, pages=None)
    act = Disposed(method="returned", by="worker-1", witnessed_by="worker-2", to="Żaneta", reason=None, at=WHEN)
    gone = disposed(replace(out, id=PAPER_SHREDDED), act, by_manager=False)
    return [bare, out, gone]


def _uploads() -> list[Upload]:
    same = {"case_id": CASE, "document_id": numbered(54)}
    return [Upload(id=numbered(510 + number), number=number, **same) for number in (1, 2, 3)]
