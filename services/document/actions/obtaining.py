"""Whether the family agreed to have a document from others (P11), as of now: asked of the consent service."""

from __future__ import annotations

from services.document.context import Context
from services.document.model.documents import FAMILY, Document
from services.document.model.quarantine import require_replaceable
from shared.errors import ConsentRequired, Invalid, NotFound

_NO_CONSENT = "The family hasn't agreed to have this kind of document from this party. Nothing was kept."
_UNKNOWN_SOURCE = "The document's source isn't known here. Nothing was kept."
_NO_SUCH_SOURCE = "This is neither `family` nor an organisation that was entered."


def may_obtain(context: Context, case_id: str, party: str, kind: str) -> bool:
    """Whether the family agreed, as of now, to have documents of this kind from this party; from itself always.

    Raises Unavailable while the consent service is away: then the answer is no. Raises Invalid for an unknown party.
    """
    if party == FAMILY:
        return True
    query = {"case_id": case_id, "purpose": "obtain_documents", "party": party, "document_kind": kind}
    decision = context.calls.get("consent", "/decisions", query=query)
    if decision.get("reason") == "no-such-organisation":
        raise Invalid(_UNKNOWN_SOURCE, errors={"source": [_NO_SUCH_SOURCE]})
    return decision.get("allowed") is True


def name_source(context: Context, case_id: str, organisation: str) -> None:
    """Have the organisation kept for as long as the case lasts: no consent names it. Raises Invalid, Unavailable."""
    try:
        context.calls.post("consent", f"/organisations/{organisation}/namings", {"case_id": case_id})
    except NotFound:
        raise Invalid(_UNKNOWN_SOURCE, errors={"source": [_NO_SUCH_SOURCE]}) from None


def require_obtainable(context: Context, document: Document) -> None:
    """A new version of another party's document is a document from that party. Raises ConsentRequired, Conflict."""
    require_replaceable(document)
    if not may_obtain(context, document.case_id, document.source, document.kind):
        raise ConsentRequired(_NO_CONSENT)
