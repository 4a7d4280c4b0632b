"""What keeps a restore from being done, each in one sentence for the operator."""

from __future__ import annotations


class CannotRestore(Exception):
    """The restore wasn't done, or not to its end; the text says what to do."""
