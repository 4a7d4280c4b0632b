"""Who does casework here."""

from __future__ import annotations

from typing import Final

READERS: Final = ("caseworker", "manager", "safeguarding_lead", "app")
WRITERS: Final = ("caseworker", "manager", "app")
#: An app may do what a caseworker may, less confirming and deleting.
PEOPLE: Final = ("caseworker", "manager")
