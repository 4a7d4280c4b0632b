"""What the case service's routes, handlers, steps and jobs work with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from services.case.store import Stores
from shared.erasure.grants import Grants
from shared.http.calls import Calls
from shared.service.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """shell_life: how long a shell waits for the family's consent. safeguarding_retention: how long a record stays.

    mail_takes_utf8: whether the office's relay takes any letters before the @ of an email address.
    """

    stores: Stores
    calls: Calls
    grants: Grants
    shell_life: timedelta
    safeguarding_retention: timedelta
    mail_takes_utf8: bool


def open_context(runtime: Runtime) -> Context:
    """Open the stores through the runtime's register."""
    settings = runtime.settings
    return Context(
        stores=Stores.open(runtime.register, steps=runtime.steps, keys=runtime.keys),
        calls=runtime.calls,
        grants=runtime.grants,
        shell_life=timedelta(days=settings.shell_days),
        safeguarding_retention=timedelta(days=settings.safeguarding_days),
        mail_takes_utf8=settings.smtp_utf8,
    )
