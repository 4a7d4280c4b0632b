"""The routes of the document service."""

from services.document.api.content import content_routes
from services.document.api.documents import document_routes
from services.document.api.papers import paper_routes
from services.document.api.quarantine import quarantine_routes
from services.document.context import Context
from services.document.upload.allocator import return_large_blocks
from shared.http import Blueprint


def blueprints(context: Context) -> list[Blueprint]:
    """The routes; the process that serves them takes files in, which needs memory and a spool."""
    return_large_blocks()
    context.spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    context.sandbox.start()
    return [
        document_routes(context),
        content_routes(context),
        quarantine_routes(context),
        paper_routes(context),
    ]
