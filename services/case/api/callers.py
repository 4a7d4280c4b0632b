"""Who does casework, and what a view says of its caller."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from shared.clock import utc_now
from shared.http import check_if_match, current_caller, current_kernel
from shared.security.authentication import ROLES

READERS: Final = ("caseworker", "manager", "safeguarding_lead", "app")
WRITERS: Final = ("caseworker", "manager", "app")
#: What an app may do is less than a caseworker: it deletes nothing.
DELETERS: Final = ("caseworker", "manager")
#: Signed-in staff: whoever of them is worried about somebody may always say so (P15).
SAFEGUARDING_STAFF: Final = ("caseworker", "manager", "safeguarding_lead", "data_protection")
SEES_SAFEGUARDING: Final = ("safeguarding_lead", "data_protection")
REVIEWERS: Final = ("safeguarding_lead",)
DISCLOSURE_READERS: Final = (*READERS, "data_protection")
SERVICES: Final = ("consent", "document", "notifier")

__all__ = [
    "DELETERS",
    "DISCLOSURE_READERS",
    "READERS",
    "REVIEWERS",
    "SAFEGUARDING_STAFF",
    "SEES_SAFEGUARDING",
    "SERVICES",
    "WRITERS",
    "audit_found",
    "by_manager",
    "check_if_match",
]


def by_manager() -> bool:
    return "manager" in current_caller().roles


def audit_found(action: str, case_ids: Iterable[str]) -> None:
    """Write one row for each case that a search showed; the search's own row names none.

    Raises PyMongoError when it can't be written, so that nothing is shown unaudited.
    """
    caller, audit = current_caller(), current_kernel().stores.audit
    role = min(caller.roles & set(READERS) or caller.roles & ROLES, default="none")
    for case_id in case_ids:
        audit.write(
            {
                "at": utc_now(),
                "sub": caller.sub,
                "role": role,
                "action": action,
                "case_id": case_id,
                "record_id": None,
                "outcome": "done",
                "status": 200,
                "trace_id": None,
            }
        )
