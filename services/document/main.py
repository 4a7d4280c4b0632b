"""Wiring of the document service: its api and its worker."""

from __future__ import annotations

import sys
import tempfile
from datetime import datetime
from pathlib import Path

from flask import Flask
from minio.error import MinioException

from services.document.actions import documents, forgetting, papers, sweep
from services.document.api import content_routes, document_routes, paper_routes
from services.document.consumer import handlers
from services.document.store import Stores
from services.document.store.files import connect
from services.document.upload.allocator import return_large_blocks
from shared.errors import Invalid
from shared.messaging.steps import Every, StepRow
from shared.service import service
from shared.service.service import Kit

_DEAD_UPLOADS_SECONDS = 5.0
_ABANDONED_SECONDS = 60.0
_RECONCILE_SECONDS = 3600.0


def stores(kit: Kit) -> Stores:
    """The service's stores, opened through the kit's register, and its part in an erasure."""
    settings = kit.settings

    def may_obtain(*, case_id: str, party: str, kind: str) -> bool:
        query = {"case_id": case_id, "purpose": "obtain_documents", "party": party, "document_kind": kind}
        decision = kit.calls.get("consent", "/decisions", query=query)
        if decision.get("reason") == "no-such-organisation":
            said = {"source": ["This is neither `family` nor an organisation that was entered."]}
            raise Invalid("The document's source isn't known here. Nothing was kept.", errors=said)
        return decision.get("allowed") is True

    opened = Stores.open(
        unit_of_work=kit.unit_of_work,
        register=kit.register,
        client=connect(settings),
        bucket=settings.bucket,
        steps=kit.steps,
        may_obtain=may_obtain,
        # What lies there is unreadable to everyone but its process, so the system's own folder will do.
        spool=settings.spool or Path(tempfile.gettempdir()),
        upload_limit=settings.upload_limit_bytes,
    )
    kit.erasure_participant.before_walk = lambda case_id, request_id: forgetting.before_walk(opened, case_id)
    kit.erasure_participant.more_claims = lambda case_id, request_id: forgetting.paper_claims(opened, case_id)
    return opened


def create_api() -> Flask:
    return_large_blocks()
    kit = service.build("document", "api")
    opened = stores(kit)
    opened.spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    blueprints = [document_routes(kit, opened), content_routes(opened), paper_routes(kit, opened)]
    return service.api(kit, blueprints, checks={"objects": opened.files.check}, away=(MinioException,))


def worker() -> int:
    kit = service.build("document", "worker")
    opened = stores(kit)

    def remove(step: StepRow) -> None:
        documents.finish_removal(opened, step)

    def settle(step: StepRow) -> None:
        forgetting.settle_papers(opened, kit.erasure_participant, step)

    def bury(now: datetime) -> None:
        sweep.bury_dead_uploads(opened)

    def purge_abandoned(now: datetime) -> None:
        sweep.purge_abandoned(opened)

    def reconcile(now: datetime) -> None:
        sweep.reconcile(opened, now)

    periodic = [
        Every(seconds=_DEAD_UPLOADS_SECONDS, run=bury, name="dead-uploads"),
        Every(seconds=_ABANDONED_SECONDS, run=purge_abandoned, name="abandoned-uploads"),
        Every(seconds=_RECONCILE_SECONDS, run=reconcile, name="reconcile"),
    ]
    kinds = {documents.REMOVE_STEP: remove, papers.SETTLE_STEP: settle}
    return service.worker(kit, handlers(opened), kinds, periodic)


def main() -> int:
    if sys.argv[1:] != ["worker"]:
        print("usage: python -m services.document.main worker", file=sys.stderr)  # noqa: T201
        return 2
    return worker()


if __name__ == "__main__":
    raise SystemExit(main())
