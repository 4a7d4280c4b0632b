"""The blank consent pack: it names no person, and nothing is kept of it (P2, P6)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from services.notifier.context import Context
from services.notifier.letters import Statement, render_pack


def consent_pack(context: Context, *, formats: Collection[str], now: datetime) -> bytes:
    """The PDF, with the statement in force. Raises Unavailable when the consent service can't be asked for it."""
    found = context.calls.get("consent", "/statement")
    statement = Statement(version=found["version"], text=found["text"], sha256=found["sha256"])
    return render_pack(statement, office=context.office, formats=formats, now=now)
