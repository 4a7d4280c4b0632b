"""Organisations that a consent, a contact or a document can name by an id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KINDS: Final = ("local_authority", "school", "health", "social_care", "charity", "other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Organisation:
    """One organisation. It is of no case, so its name is sealed under the office's key."""

    id: str
    name: str
    kind: str
    version: int = 1
