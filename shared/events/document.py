"""What the document service tells the others."""

from __future__ import annotations

from shared.events.base import EventType, define
from shared.fields import Group, Id, List, Time, one_of

QUARANTINE = define(
    EventType(
        name="document.quarantine",
        publishers=("document",),
        # All the documents of the case that are in quarantine now; since: when each last came into it.
        fields={
            "case": Id(),
            "documents": List(
                Group({"document": Id(), "reason": one_of("no_consent", "malware"), "since": Time()}),
            ),
        },
        topic="quarantine",
    )
)
