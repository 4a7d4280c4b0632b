"""The document service's own part in an erasure: uploads that are under way, and paper that is still there."""

from __future__ import annotations

import time
from typing import Any

from services.document.context import Context
from services.document.model.documents import Upload
from services.document.model.papers import to_certify
from services.document.store import Stores
from services.document.store.papers import disposals_of_case, paper_key
from shared.db.unit_of_work import Tx
from shared.errors import Temporary
from shared.messaging.steps import StepRow

_WAIT_SECONDS = 4.0
_POLL_SECONDS = 0.1


def stop_uploads(context: Context, case_id: str) -> None:
    """Stop the case's uploads and wait until each has purged its object; purge those whose process died.

    An upload of the case is also a copy of a document that is being moved into it, or out of it. The gate is closed, so
    none can begin or be completed any more. Raises Temporary while one won't stop.
    """
    receiving = context.stores.receiving
    receiving.stop_case(case_id)
    deadline = time.monotonic() + _WAIT_SECONDS
    while receiving.about_case(case_id):
        for upload in receiving.lapsed(case_id):
            purge_dead_upload(context.stores, upload)
        if time.monotonic() > deadline:
            raise Temporary("upload-in-progress")
        time.sleep(_POLL_SECONDS)


def purge_dead_upload(stores: Stores, upload: Upload) -> None:
    """Purge what a dead upload wrote, and keep its key in case its process was only slow."""
    stores.files.purge(upload.object_key)
    stores.unit_of_work.run(lambda tx: stores.receiving.abandon(upload, tx=tx))


def move_papers(context: Context, case_id: str) -> None:
    """Move each uncertified paper file to the late store, under the case's paper key."""
    stores = context.stores
    waiting = [paper for paper in stores.paper_files.of_case(case_id) if not paper.is_disposed]
    for paper in waiting:

        def move(tx: Tx, paper_id: str = paper.id) -> None:
            tx.gates.touch(tx.session, case_id)
            found = stores.paper_files.get(paper_id, tx=tx)
            if found is not None and not found.is_disposed:
                if not stores.keys.exists(tx, paper_key(case_id)):
                    stores.keys.make(tx, paper_key(case_id))
                stores.papers_to_certify.add(to_certify(found, tx.now), tx=tx)
                stores.paper_files.remove(found, tx=tx, tells=False)

        stores.unit_of_work.run(move)


def settle_papers(context: Context, step: StepRow) -> None:
    """The last paper file of an erased case is certified: its key goes, and the second receipt follows."""
    stores, case_id = context.stores, str(step.case_id)
    if stores.papers_to_certify.exists({"case_id": case_id}):
        return
    # A first receipt that is being made may already say that paper is late; the second can only follow it.
    if context.erasure.rows.count_documents({"case_id": case_id, "receipts": []}, limit=1):
        raise Temporary("first-receipt-pending")

    def settle(tx: Tx) -> None:
        if not stores.keys.doom(tx, paper_key(case_id), then=(step.kind, step.key, case_id)):
            context.erasure.settle_late(tx, case_id)

    stores.unit_of_work.run(settle)


def paper_claims(context: Context, case_id: str, request_id: str, number: int) -> dict[str, Any]:
    """What a receipt says of the case's paper: which file, how it went, when."""
    return {
        "paper": [
            {"paper_file": paper.id, "method": paper.state, "at": paper.disposed_at.isoformat()}
            for paper in disposals_of_case(context.stores.paper_disposals, case_id)
        ]
    }
