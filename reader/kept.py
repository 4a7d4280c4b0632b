"""What an erasure leaves by design: the closed list of collections that may still name an erased case.

Everything else that names it is a leftover. docs/security.md has the same list with the reasons. Tests hold both beside
each other, and beside the registers of the services.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from shared.events import SERVICES

_IN_EVERY_SERVICE: Final = (
    "audit", "deferred", "erasures", "gates", "inbox", "outbox", "parked", "steps", "trying",
)  # fmt: skip
#: `database.collection`, without the prefix of the names.
KEPT: Final = frozenset(
    {
        *(f"{service}.{name}" for service in SERVICES for name in _IN_EVERY_SERVICE),
        *(f"{service}_vault.doomed" for service in SERVICES),
        "consent.readings",
        "consent.receipts",
        "consent.requests",
        "document.abandoned_uploads",
        "document.paper_disposals",
        "ledger.ledger",
        "notifier.last_letters",
    }
)
#: Never said of any case, because that there is something would say that a person was thought to be at risk (P15).
APART: Final = frozenset({"case.safeguarding"})


def is_kept(place: str, row: Mapping[str, Any]) -> bool:
    """Whether a row that names the case may be there: on the closed list, and nothing in it opens with a key.

    place: `database.collection`, without the prefix.
    """
    if place not in KEPT:
        return False
    if place.endswith("_vault.doomed"):
        # Deleted, but its root may still be there.
        return row.get("gone_at") is not None
    # A request that came after the case was gone is sealed under a key of its own, which ends with the request.
    return "personal" not in row or (place == "consent.requests" and bool(row.get("own_key")))
