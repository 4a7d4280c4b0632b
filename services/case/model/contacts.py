"""Contacts: each time an organisation was spoken or written to for the family, and the consent it rested on (P13)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

MAX_PURPOSE_CHARACTERS: Final = 500
MAX_SUMMARY_CHARACTERS: Final = 20_000
NOT_AGREED_SENTENCE: Final = (
    "The family has not agreed that this organisation is contacted, or no longer does. Nothing was stored. "
    "Ask them first; one spoken yes is enough, recorded as a consent."
)
UNKNOWN_ORGANISATION_SENTENCE: Final = "A contact is with an organisation that is entered here. Nothing was stored."


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """One contact. consent_id: what allowed it at that moment."""

    id: str
    case_id: str
    organisation_id: str
    consent_id: str
    recorded_at: datetime
    recorded_by: str
    version: int = 0
    purpose: str = field(repr=False)
    summary: str = field(repr=False)
