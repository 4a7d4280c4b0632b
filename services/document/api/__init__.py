"""The routes of the document service."""

from services.document.api.content import content_routes
from services.document.api.documents import document_routes
from services.document.api.papers import paper_routes

__all__ = ["content_routes", "document_routes", "paper_routes"]
