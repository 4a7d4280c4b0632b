"""Organisations that a consent, a contact or a document can name by an id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KINDS: Final = ("local_authority", "school", "health", "social_care", "charity", "other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Organisation:
    """One organisation. It is of no case, so its name is sealed under a key of its own."""

    id: str
    name: str
    kind: str
    version: int = 1


def organisation_key(id: str) -> str:
    """The name of the key that one organisation is sealed under."""
    return f"organisation:{id}"
