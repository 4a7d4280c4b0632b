"""What a service other than the consent service knows of a case's consents, as it last heard (P4, P11, P18).

Inward acts go by it. Outward acts ask the consent service at that moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from shared.conversion import from_plain
from shared.errors import ConsentRequired
from shared.events.consent import STANDING

CASEWORK: Final = "casework"
EMAIL: Final = "email"
NO_CONSENT_SENTENCE: Final = (
    "The family has not agreed to a case file, or no longer does. Nothing was stored. "
    "Record their consent to casework first, then send this again."
)
#: The clear fields of a store of `KnownConsents`.
CLEAR: Final = {"standing": STANDING}


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingConsent:
    """One purpose that stands. person None: the consent names no person. until None: until it is withdrawn."""

    consent: str
    purpose: str
    party: str | None = None
    document_kind: str | None = None
    person: str | None = None
    until: datetime | None = None

    def stands(self, now: datetime) -> bool:
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownConsents:
    """All that stands of one case, as last heard. Its record's id is the case's."""

    case_id: str
    standing: tuple[StandingConsent, ...] = ()
    version: int = 0

    def allow(self, purpose: str, now: datetime) -> bool:
        """Whether anybody's consent for that purpose stands."""
        return any(one.purpose == purpose and one.stands(now) for one in self.standing)

    def require_casework(self, now: datetime) -> None:
        """Raises ConsentRequired unless the family agreed to a case file, and still does (P4, P7)."""
        if not self.allow(CASEWORK, now):
            raise ConsentRequired(NO_CONSENT_SENTENCE)


def standing_in(rows: Iterable[Mapping[str, Any]]) -> tuple[StandingConsent, ...]:
    """The standing consents that an event carries."""
    return from_plain(list(rows), tuple[StandingConsent, ...])
