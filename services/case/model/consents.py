"""What the case service knows of consents: enough to refuse what the family has not agreed to (P4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.errors import ConsentRequired

CASEWORK: Final = "casework"
NO_CONSENT_SENTENCE: Final = (
    "The family has not agreed to a case file, or no longer does. Nothing was stored. "
    "Record their consent to casework first, then send this again."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One purpose that stands; `until` is None where nothing ends it but a withdrawal."""

    consent: str
    purpose: str
    party: str | None = None
    document_kind: str | None = None
    person: str | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Consents:
    """All that stands of one case, as last heard."""

    standing: tuple[Standing, ...] = ()

    def casework_stands(self, now: datetime) -> bool:
        return any(one.purpose == CASEWORK and (one.until is None or one.until > now) for one in self.standing)

    def require_casework(self, now: datetime) -> None:
        """Raises ConsentRequired unless casework stands (P4, P7)."""
        if not self.casework_stands(now):
            raise ConsentRequired(NO_CONSENT_SENTENCE)
