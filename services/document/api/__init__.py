"""The routes of the document service."""

from services.document.api.attachments import attachment_routes
from services.document.api.content import content_routes
from services.document.api.corrections import correction_routes
from services.document.api.documents import document_routes
from services.document.api.office_papers import office_paper_routes
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
    routes = (
        document_routes,
        attachment_routes,
        content_routes,
        correction_routes,
        quarantine_routes,
        paper_routes,
        office_paper_routes,
    )
    return [made(context) for made in routes]
