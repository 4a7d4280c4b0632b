"""What an outward act asks of the consent service at that moment. Where that doesn't answer, the answer is no (P13)."""

from __future__ import annotations

from shared.db.gates import FROZEN_SENTENCE
from shared.errors import ConsentRequired, Frozen, NotFound
from shared.http.calls import Calls

CONTACT, SHARE = "contact", "share"


def consent_for(calls: Calls, *, case_id: str, purpose: str, party: str, otherwise: str) -> str:
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


def is_organisation(calls: Calls, party: str) -> bool:
    """Whether an organisation of that id is entered. Raises Unavailable when the consent service doesn't answer."""
    try:
        calls.get("consent", f"/organisations/{party}")
    except NotFound:
        return False
    return True


def name_organisation(calls: Calls, party: str, *, case_id: str) -> bool:
    """Have the organisation kept for as long as the case lasts; whether one of that id is entered.

    Before a record that rests on no consent to it. Raises Unavailable, and as the consent service's gate.
    """
    try:
        calls.post("consent", f"/organisations/{party}/namings", {"case_id": case_id})
    except NotFound:
        return False
    return True
