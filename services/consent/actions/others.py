"""What the other services are asked about a case, at that moment. Each may raise Unavailable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from services.consent.context import Context
from services.consent.store import queries
from shared.errors import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """What is checked with the other services before a consent is recorded.

    role_of: the role of that person of the case, None where the case has no such person. has_document: whether the
    case has that document.
    """

    role_of: Callable[[str], str | None]
    has_document: Callable[[str], bool]


def others_about(context: Context, case_id: str) -> Others:
    """The other services' answers about this case."""
    return Others(
        role_of=partial(role_of, context, case_id),
        has_document=partial(_has_document, context, case_id),
    )


def people_now(context: Context, case_id: str) -> list[Mapping[str, Any]]:
    """The people as the case service shows them. Raises NotFound or Erased too."""
    return list(context.calls.get("case", f"/cases/{case_id}").get("people", []))


def role_of(context: Context, case_id: str, person_id: str) -> str | None:
    """As last heard; asked of the case service where this one hasn't heard of the person yet."""
    known = queries.people_of(context.stores, case_id).role_of(person_id)
    if known is not None:
        return known
    return next((str(one["role"]) for one in people_now(context, case_id) if one["id"] == person_id), None)


def _has_document(context: Context, case_id: str, document_id: str) -> bool:
    try:
        return context.calls.get("document", f"/documents/{document_id}").get("case_id") == case_id
    except NotFound:
        return False
