"""What a migration can't do."""

from __future__ import annotations


class CannotMigrate(Exception):
    """The migration stopped; the text says why in a sentence or two. The old keys are all still there."""


class OldKeyGone(Exception):
    """The key that would open this record was destroyed."""
