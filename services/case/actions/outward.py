"""What an outward act asks of the consent service at that moment. It fails closed: nobody to ask means no (P13)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from shared.db.gates import FROZEN_SENTENCE
from shared.errors import ConsentRequired, Frozen, NotFound

CONTACT, SHARE = "contact", "share"


class Asks(Protocol):
    """The way to the other services (shared.http.calls)."""

    def get(self, service: str, path: str, *, query: Mapping[str, str] | None = None) -> dict[str, Any]: ...

    def post(self, service: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]: ...


def consent_for(calls: Asks, *, case_id: str, purpose: str, party: str, otherwise: str) -> str:
    """The id of the consent that allows this now.

    otherwise: the sentence of the ConsentRequired that is raised when none does. Raises Frozen, Erased, or Unavailable
    when the consent service doesn't answer.
    """
    decision = calls.get("consent", "/decisions", query={"case_id": case_id, "purpose": purpose, "party": party})
    if decision.get("reason") == "frozen":
        raise Frozen(FROZEN_SENTENCE)
    consent_id = decision.get("consent_id")
    if decision.get("allowed") is not True or not isinstance(consent_id, str):
        raise ConsentRequired(otherwise)
    return consent_id


def is_organisation(calls: Asks, party: str) -> bool:
    """Whether an organisation of that id is entered. Raises Unavailable when the consent service doesn't answer."""
    try:
        calls.get("consent", f"/organisations/{party}")
    except NotFound:
        return False
    return True
