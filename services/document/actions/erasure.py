"""The document service's own part in an erasure: uploads that are under way, and paper that is still there."""

from __future__ import annotations

import time
from typing import Any, Protocol

from services.document.store.receiving import Upload
from services.document.store.stores import Stores
from shared.db.unit_of_work import Tx
from shared.errors import Temporary
from shared.messaging.steps import StepRow

_WAIT_SECONDS = 4.0
_LOOK_SECONDS = 0.1


class SettlesLate(Protocol):
    """The kernel's Erasing, as far as paper needs it."""

    rows: Any

    def settle_late(self, tx: Tx, case_id: str) -> None: ...


def before_walk(stores: Stores, case_id: str) -> None:
    """After the gate is closed, and before anything is deleted. Raises Temporary while an upload won't stop."""
    end_uploads(stores, case_id)
    keep_paper(stores, case_id)


def end_uploads(stores: Stores, case_id: str) -> None:
    """Stop the case's uploads and wait until each has purged its object; purge those whose process died.

    The gate is closed, so no upload can begin or be completed any more. Raises Temporary.
    """
    stores.receiving.stop_case(case_id)
    deadline = time.monotonic() + _WAIT_SECONDS
    while stores.receiving.of_case(case_id):
        for upload in stores.receiving.lapsed(case_id):
            bury(stores, upload)
        if time.monotonic() > deadline:
            raise Temporary("upload-in-progress")
        time.sleep(_LOOK_SECONDS)


def bury(stores: Stores, upload: Upload) -> None:
    """Purge what a dead upload wrote, and remember its key in case it was only slow."""
    stores.files.purge(upload.object_key)
    stores.unit_of_work.run(lambda tx: stores.receiving.abandon(tx, upload))


def keep_paper(stores: Stores, case_id: str) -> None:
    """Move each uncertified paper file to the late store, under the case's paper key."""
    waiting = [paper for paper in stores.papers.of_case(case_id, after=None, limit=0) if not paper.is_disposed]
    if waiting:
        stores.papers.make_late_key(case_id)
    for paper in waiting:

        def move(tx: Tx, paper_id: str = paper.id) -> None:
            tx.gates.touch(tx.session, case_id)
            found = stores.papers.get(paper_id, tx=tx)
            if found is not None and not found.is_disposed:
                stores.papers.make_late(tx, found)

        stores.unit_of_work.run(move)


def settle_papers(stores: Stores, erasure_participant: SettlesLate, step: StepRow) -> None:
    """The last paper file of an erased case is certified: its key goes, and the second receipt follows."""
    case_id = str(step.case_id)
    if stores.papers.is_late(case_id):
        return
    # A first receipt that is being made may already say that paper is late; the second can only follow it.
    if erasure_participant.rows.count_documents({"case_id": case_id, "receipts": []}, limit=1):
        raise Temporary("first-receipt-pending")
    stores.papers.destroy_late_key(case_id)
    stores.unit_of_work.run(lambda tx: erasure_participant.settle_late(tx, case_id))


def paper_claims(stores: Stores, case_id: str) -> dict[str, Any]:
    """What a receipt says of the case's paper: which file, how it went, when."""
    disposals = stores.papers.disposals_of(case_id)
    return {
        "paper": [
            {"paper_file": paper.id, "method": paper.state, "at": paper.disposed_at.isoformat()}
            for paper in disposals
            if paper.disposed_at is not None
        ]
    }
