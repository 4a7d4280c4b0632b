"""Wiring of the document service: `create_api()` for gunicorn, `python -m services.document.main worker`."""

from __future__ import annotations

import sys
from typing import Final

from minio.error import MinioException

from services.document import consumer
from services.document.actions import documents, erasure, moves, papers, quarantine, quarantine_news, sweep
from services.document.api import blueprints
from services.document.context import Context, open_context
from services.document.sandbox.errors import NotConfined
from services.document.upload.clamd import ScannerAway
from shared.events import consent
from shared.security.roles import CASE_READERS
from shared.service.service import Service

service: Final = Service[Context]("document", open_context)
service.routes(blueprints)
service.tells(case=CASE_READERS, document=CASE_READERS, paper_file=CASE_READERS)
service.needs("objects", Context.check_objects, away=MinioException)
service.needs("sandbox", Context.check_sandbox, away=NotConfined)
service.needs("clamd", Context.check_scanner, away=ScannerAway)

service.on(consent.GIVEN, consumer.consents_changed)
service.on(consent.WITHDRAWN, consumer.consents_changed)
service.on(consent.EXPIRED, consumer.consents_changed)

service.step(documents.REMOVE_STEP, documents.finish_removal)
service.step(quarantine_news.LIFT_STEP, quarantine.lift_step)
service.step(moves.PURGE_STEP, moves.purge_moved)
service.step(papers.SETTLE_STEP, erasure.settle_papers)

service.every(5, sweep.purge_dead_uploads)
service.every(60, sweep.purge_abandoned_uploads)
service.every(3600, sweep.reconcile)
service.every(3600, quarantine.take_up_older)

service.before_erasure(erasure.stop_uploads)
service.before_erasure(erasure.move_papers)
service.receipt_claims(erasure.paper_claims)

create_api = service.create_api

if __name__ == "__main__":
    sys.exit(service.main(sys.argv[1:]))
