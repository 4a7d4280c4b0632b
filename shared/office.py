"""The office: who writes the letters, and whom a family can ask."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """What stands on every letter and email (P30). `controller` is the host organisation, `helpline` a sentence."""

    name: str
    phone: str
    email: str
    address: tuple[str, ...]
    controller: str
    dpo_contact: str
    helpline: str
