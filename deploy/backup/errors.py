"""What keeps a backup from being made or used, each in one sentence for the operator."""

from __future__ import annotations


class CannotBackUp(Exception):
    """No archive was made; nothing half-written is left."""


class BadArchive(Exception):
    """An archive can't be used: it was changed or cut, it is expired, or the identity doesn't open it."""
