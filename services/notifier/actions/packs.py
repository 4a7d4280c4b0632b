"""The blank consent pack: nothing is kept of it, and it is about nobody (P2, P6)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from services.notifier.actions.external import Asks
from services.notifier.letters import Office, Statement, render_pack


def consent_pack(calls: Asks, *, office: Office, formats: Collection[str], now: datetime) -> bytes:
    """The PDF, with the words of the statement that is shown now. Raises Unavailable when nobody can say which."""
    said = calls.get("consent", "/statement")
    statement = Statement(version=said["version"], text=said["text"], sha256=said["sha256"])
    return render_pack(statement, office=office, formats=formats, now=now)
