"""What the notifier's handlers, steps, jobs and routes work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from services.notifier.letters import Office
from services.notifier.store import Stores
from services.notifier.transports.configured import Transports
from shared.http.calls import Calls
from shared.ops.settings import SettingsError
from shared.security.signing import PublicKeys
from shared.service.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One process of the notifier.

    calls: the way to the other services. transports: the ways out of a letter and of an email. safeguarding_email:
    the safeguarding lead's mailbox. printer_patience: how long a letter may lie in the printer's folder; None where one
    in it has left the system. require_known: see `Runtime.require_known`. ledger_head_mail: the mailbox that keeps the
    ledger's signed head; public_keys verify one.
    """

    stores: Stores
    calls: Calls
    transports: Transports
    office: Office
    safeguarding_email: str | None
    ledger_head_mail: str | None
    public_keys: PublicKeys
    printer_patience: timedelta | None
    require_known: Callable[[str], None]


def open_context(runtime: Runtime) -> Context:
    """Open the stores and the transports. Raises SettingsError for a printer or a mail relay that can't be used."""
    settings = runtime.settings
    try:
        transports = Transports(
            office=settings.office,
            printer=settings.printer,
            smtp_url=settings.smtp_url or "",
            smtp_plain=settings.smtp_plain,
        )
    except ValueError as error:
        raise SettingsError(f"FMN_PRINTER or FMN_SMTP_URL can't be used. {error}") from error
    return Context(
        stores=Stores.open(runtime.register, runtime.steps, runtime.keys, runtime.restores),
        calls=runtime.calls,
        transports=transports,
        office=settings.office,
        safeguarding_email=settings.safeguarding_email,
        ledger_head_mail=settings.ledger_head_mail,
        public_keys=runtime.public_keys,
        printer_patience=timedelta(hours=settings.printer_hours) if settings.printer_hours else None,
        require_known=runtime.require_known,
    )
