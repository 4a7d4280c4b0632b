"""Disclosures: what was told to whom, and on what basis (P14). Those for safeguarding are kept apart, not here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from shared.errors import Invalid

CONSENT, SAFEGUARDING, LEGAL_DUTY = "consent", "safeguarding", "legal_duty"
BASES: Final = (CONSENT, SAFEGUARDING, LEGAL_DUTY)
SHARED, NOT_SHARED = "shared", "not_shared"
DECISIONS: Final = (SHARED, NOT_SHARED)
MAX_RECIPIENT_CHARACTERS: Final = 300
MAX_WHAT_CHARACTERS: Final = 5_000
MAX_REASON_CHARACTERS: Final = 5_000
MAX_ORDER_CHARACTERS: Final = 500
#: What compels a disclosure under a legal duty: the order or enactment, who issued it, and how far it goes.
OF_LEGAL_DUTY: Final = ("order", "issuer", "scope")

NOT_AGREED_SENTENCE: Final = (
    "The family has not agreed that this is shared with them, or no longer does. Nothing was stored. "
    "Ask them first. If a person is at risk, record it on the basis safeguarding: that is never refused."
)
LEGAL_DUTY_IS_FOR_MANAGERS: Final = (
    "Disclosing under a legal duty is for a manager. Nothing was stored; hand the order to one."
)
SHELL_SENTENCE: Final = "There is no consent to a case file yet, so nothing to disclose. Nothing was stored."
_DOESNT_FIT: Final = "The disclosure can't be recorded as it stands. Nothing was stored."


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclosure:
    """One disclosure. consent_id: what allowed it at that moment; None under a legal duty.

    party: the recipient's id, where it is an organisation or a person of the case.
    """

    id: str
    case_id: str
    basis: str
    consent_id: str | None
    party: str | None
    told_family: bool | None
    recorded_at: datetime
    recorded_by: str
    version: int = 0
    recipient: str = field(repr=False)
    what: str = field(repr=False)
    reason: str | None = field(default=None, repr=False)
    order: str | None = field(default=None, repr=False)
    issuer: str | None = field(default=None, repr=False)
    scope: str | None = field(default=None, repr=False)


def check_fields(given: Mapping[str, Any]) -> None:
    """Whether what is sent fits its basis. Raises Invalid naming the fields.

    On the safeguarding basis only what is needed to know what happened is asked for: it must not fail on a form.
    """
    wrong: dict[str, list[str]] = {}
    basis = given["basis"]
    if given.get("recipient") is None and not (basis == SAFEGUARDING and given.get("decision") == NOT_SHARED):
        wrong["recipient"] = ["Say who is told."]
    if basis != SAFEGUARDING and given.get("decision") == NOT_SHARED:
        wrong["decision"] = ["A decision not to share is recorded on the basis safeguarding."]
    if basis == CONSENT and given.get("party") is None:
        wrong["party"] = ["Say which organisation or person of the case it is: the consent is looked up by it."]
    for name in OF_LEGAL_DUTY:
        if basis == LEGAL_DUTY and given.get(name) is None:
            wrong[name] = ["A legal duty is recorded with its order, who issued it, and how far it goes."]
        elif basis == CONSENT and given.get(name) is not None:
            wrong[name] = ["This belongs to a legal duty."]
    if wrong:
        raise Invalid(_DOESNT_FIT, errors=wrong)
