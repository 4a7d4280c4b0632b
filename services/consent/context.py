"""What handlers, steps, jobs, hooks and routes of the consent service work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from services.consent.model.reviews import Windows
from services.consent.store import Stores
from services.consent.store.ledger import Ledger
from shared.db.unit_of_work import Tx
from shared.erasure.grants import GrantSigner
from shared.http.calls import Calls
from shared.office import Office
from shared.ops.settings import SettingsError
from shared.security.signing import PublicKeys, Signer
from shared.service.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One process of the service.

    require_known: makes sure that a case is known here (`Runtime.require_known`). release: unfreezes a case, and runs
    what goes on then. forget_answers: destroys the kept answers that show a record (`Idempotency.forget`). windows: how
    long a review waits for an answer. elsewhere: the places outside the software that are certified. most_expiries: how
    many may expire in one run of the clock. time_travel: whether the clock may be run at another time than now.
    counts_calls: whether the office counts its helpline calls. mails_head: whether it has a mailbox for the head of the
    ledger.
    """

    stores: Stores
    calls: Calls
    public_keys: PublicKeys
    require_known: Callable[[str], None]
    release: Callable[[Tx, str], None]
    forget_answers: Callable[..., None]
    certificate_signer: Signer
    consent_receipt_signer: Signer
    ledger: Ledger
    mails_head: bool
    office: Office
    windows: Windows
    elsewhere: tuple[str, ...]
    most_expiries: int
    time_travel: bool
    counts_calls: bool


def open_context(runtime: Runtime) -> Context:
    """Open the stores, and take from the settings what is needed. Raises SettingsError without a key to sign with."""
    settings, unit_of_work = runtime.settings, runtime.unit_of_work
    stores = Stores.open(
        runtime.register,
        steps=runtime.steps,
        keys=runtime.keys,
        calendar=settings.calendar,
        grants=GrantSigner(_signer("grant.jwk", settings.grant_jwk)),
        ledger_db=unit_of_work.client[f"{settings.names}_ledger"],
    )
    return Context(
        stores=stores,
        calls=runtime.calls,
        public_keys=runtime.public_keys,
        require_known=runtime.require_known,
        release=runtime.erasure.release,
        forget_answers=runtime.kernel_stores.idempotency.forget,
        certificate_signer=_signer("certificate.jwk", settings.certificate_jwk),
        consent_receipt_signer=_signer("consent_receipt.jwk", settings.consent_receipt_jwk),
        ledger=Ledger(
            stores.ledger,
            _signer("ledger.jwk", settings.ledger_jwk),
            runtime.public_keys,
            copy=settings.ledger_copy,
            published=settings.ledger_head,
        ),
        mails_head=settings.ledger_head_mail is not None,
        office=settings.office,
        windows=Windows(
            window=timedelta(days=settings.review_window_days), reminder=timedelta(days=settings.review_reminder_days)
        ),
        elsewhere=settings.elsewhere,
        most_expiries=settings.clock_max,
        time_travel=settings.time_travel,
        counts_calls=settings.helpline_tally,
    )


def _signer(name: str, jwk: Mapping[str, Any] | None) -> Signer:
    if jwk is None:
        raise SettingsError(f"The consent service needs {name} among its secrets.")
    return Signer(jwk)
