"""Which stores a receipt of each service must list, in this version: what its register empties or strips, and its keys.

A test holds it beside the registers (tests/architecture/test_register.py), and says what to write here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

#: What a receipt calls the keys of the case.
CASE_KEYS: Final = "case_keys"
MANIFEST: Final[Mapping[str, frozenset[str]]] = {
    "case": frozenset(
        {
            CASE_KEYS, "cases", "contacts", "disclosures", "entries", "idempotency", "intakes", "people", "projections",
            "removals", "search_hashes", "stops",
        }
    ),
    "document": frozenset(
        {
            CASE_KEYS, "documents", "idempotency", "objects", "paper_files", "projections", "receiving", "removals",
            "versions",
        }
    ),
    "consent": frozenset(
        {
            CASE_KEYS, "consents", "endings", "expiries", "holds", "idempotency", "intakes", "namings", "people",
            "removals", "requests", "reviews", "rights", "tasks",
        }
    ),
    "notifier": frozenset({CASE_KEYS, "idempotency", "notifications", "projections", "removals"}),
}  # fmt: skip


def differences(service: str, stores: Iterable[str]) -> tuple[list[str], list[str]]:
    """The stores that a receipt lacks, and those that it has and this version doesn't know."""
    listed, known = set(stores), MANIFEST[service]
    return sorted(known - listed), sorted(listed - known)
