"""Safe contact: the ways in which a person may be reached, as far as they were asked about (P18)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from shared.clock import CLOCKS_DIFFER
from shared.errors import Invalid

YES, PLAIN, NO = "yes", "plain", "no"
#: Plain post names no service, on the envelope or inside its window.
POST: Final = (YES, PLAIN, NO)
YES_NO: Final = (YES, NO)
WAYS: Final = ("post", "email", "phone", "voicemail", "text")
#: The field of a person that, once given, counts as asked about.
GIVEN_WITH: Final = {"post": "address", "email": "email", "phone": "phone"}
STOPS: Final = ("death", "adoption", "court_order")
#: Not asked for: a backup was restored that doesn't have what the family said since.
RESTORED: Final = "restored"


@dataclass(frozen=True, slots=True, kw_only=True)
class SafeContact:
    """What a person said of each way to reach them. None: not asked about, so the way isn't used.

    post: yes, plain or no; the others: yes or no. asked_at: when they were last asked; None when they never were.
    """

    post: str | None = None
    email: str | None = None
    phone: str | None = None
    voicemail: str | None = None
    text: str | None = None
    asked_at: datetime | None = None

    @property
    def refuses_all(self) -> bool:
        """Whether every way was asked about and refused."""
        return all(getattr(self, way) == NO for way in WAYS)

    @property
    def leaves_none(self) -> bool:
        """Whether no way may be used: refused, or not asked about."""
        return not any(self.allows(way) for way in WAYS)

    def allows(self, way: str) -> bool:
        return getattr(self, way) in (YES, PLAIN)


def safe_contact_from(given: Mapping[str, Any], *, now: datetime) -> SafeContact:
    """What a person said when they were asked, at `asked_at` or now. Raises Invalid for a time that hasn't come yet."""
    at = given.get("asked_at") or now
    if at > now + CLOCKS_DIFFER:
        raise Invalid(
            "A person can't have been asked in the future. Nothing was changed.",
            errors={"asked_at": ["It must not be later than now."]},
        )
    return SafeContact(**{way: given.get(way) for way in WAYS}, asked_at=at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """All contact with a family has stopped: why, in whose words, and since when. Its record's id is the case's."""

    case_id: str
    reason: str = field(repr=False)
    words: str | None = field(default=None, repr=False)
    by: str
    at: datetime
    version: int = 0
