"""What a view says of its caller."""

from __future__ import annotations

from collections.abc import Iterable

from shared.clock import utc_now
from shared.http import current_caller, current_kernel
from shared.security.roles import CASE_READERS, MANAGER, ROLES


def by_manager() -> bool:
    """Whether the caller is a manager."""
    return MANAGER in current_caller().roles


def audit_found(action: str, case_ids: Iterable[str]) -> None:
    """Write one row for each case that a search showed; the search's own row names none.

    Raises PyMongoError when it can't be written, so that nothing is shown unaudited.
    """
    caller, audit = current_caller(), current_kernel().stores.audit
    role = min(caller.roles & set(CASE_READERS) or caller.roles & ROLES, default="none")
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
