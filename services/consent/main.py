"""Wiring of the consent service: its api and its worker."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from flask import Flask

from services.consent.actions.clock import EXPIRE_STEP, expire, run_clock
from services.consent.actions.consents import LEDGER_STEP
from services.consent.actions.erasure_receipts import complete, enter_in_ledger
from services.consent.actions.intake import ABANDON_STEP, DELIVER_STEP, deliver, end_abandoned
from services.consent.actions.requests import drop_key
from services.consent.actions.reviews import LOOK_STEP, around, clock_time, look
from services.consent.actions.rights import RECKON_STEP, reckon
from services.consent.actions.saga import ASK_AGAIN_STEP, COMPLETE_STEP, DROP_KEY_STEP, ask_again
from services.consent.api import (
    clock_routes,
    consent_routes,
    helpline_routes,
    hold_routes,
    intake_routes,
    organisation_routes,
    request_routes,
    review_routes,
    statement_routes,
    task_routes,
)
from services.consent.api.statement import add_jwks
from services.consent.consumer import handlers
from services.consent.model.reviews import Windows
from services.consent.store import Stores
from services.consent.store.ledger import Ledger
from shared.errors import ConsentRequired, Erased, Frozen, NotFound
from shared.messaging.steps import Every, Run, StepRow
from shared.ops.logs import log
from shared.ops.settings import SettingsError
from shared.security.signing import Signer
from shared.service import service
from shared.service.service import Kit

_DUE_SECONDS: Final = 60.0
_WHILE_FROZEN: Final = timedelta(minutes=5)


def stores(kit: Kit) -> Stores:
    """The service's stores, opened through the kit's register."""
    return Stores.open(
        kit.register,
        steps=kit.steps,
        calendar=kit.settings.calendar,
        ledger_db=kit.unit_of_work.client[f"{kit.settings.names}_ledger"],
    )


def windows(kit: Kit) -> Windows:
    """How long silence is before it counts, as it is set."""
    settings = kit.settings
    return Windows(
        window=timedelta(days=settings.review_window_days), reminder=timedelta(days=settings.review_reminder_days)
    )


def app(kit: Kit, opened: Stores) -> Flask:
    """The service's routes, on this kit. Raises SettingsError without the key that signs receipts of consents."""
    if kit.settings.consent_receipt_jwk is None:
        raise SettingsError("The consent service needs consent_receipt.jwk among its secrets.")
    made = service.api(
        kit,
        [
            statement_routes(),
            organisation_routes(opened),
            consent_routes(kit, opened, Signer(kit.settings.consent_receipt_jwk)),
            intake_routes(kit, opened),
            request_routes(kit, opened),
            hold_routes(kit, opened),
            task_routes(kit, opened),
            review_routes(kit, opened),
            clock_routes(kit, opened, windows(kit)),
            helpline_routes(opened, on=kit.settings.helpline_tally),
        ],
    )
    add_jwks(made, kit.public_keys)
    return made


def kinds(kit: Kit, opened: Stores, waits: Windows) -> dict[str, Run]:
    """What runs each kind of step of this service. Raises SettingsError without the keys that it signs with."""
    settings = kit.settings
    if settings.certificate_jwk is None or settings.ledger_jwk is None:
        raise SettingsError("The consent service needs certificate.jwk and ledger.jwk among its secrets.")
    ledger = Ledger(opened.ledger, Signer(settings.ledger_jwk), settings.ledger_copy)
    certificates = Signer(settings.certificate_jwk)

    def run_complete(step: StepRow) -> None:
        complete(opened, certificates, ledger, request_id=step.key)

    def run_ledger(step: StepRow) -> None:
        enter_in_ledger(opened, ledger, key=step.key, case_id=str(step.case_id), now=step.now)

    def run_reckon(step: StepRow) -> None:
        # A case that has ended, or is being erased, needs no reckoning.
        with suppress(NotFound, Erased):
            people = kit.calls.get("case", f"/cases/{step.case_id}").get("people", [])
            reckon(opened, case_id=str(step.case_id), people=people, now=clock_time(opened, step.now))

    def run_expire(step: StepRow) -> None:
        with suppress(NotFound, Erased):
            expire(opened, case_id=str(step.case_id), now=clock_time(opened, step.now))

    def run_look(step: StepRow) -> None:
        review = opened.reviews.get(step.key)
        if review is None:
            return
        with suppress(NotFound, Erased):
            case = kit.calls.get("case", f"/cases/{review.case_id}")
            last = kit.calls.get("case", f"/cases/{review.case_id}/last-entry").get("at")
            look(
                opened,
                waits,
                review_id=review.id,
                around=around(
                    review,
                    case,
                    first_adult=opened.first_adult(review.case_id),
                    # As the clock saw it: where time travel had taken it ahead, an entry was made at its time.
                    last_entry_at=None if last is None else opened.clock_runs.said_at(datetime.fromisoformat(last)),
                ),
                elsewhere=settings.elsewhere,
                now=clock_time(opened, step.now),
            )

    def run_deliver(step: StepRow) -> datetime | None:
        # A case that is being erased takes nobody in; what was to come goes with it.
        with suppress(NotFound, Erased):
            try:
                deliver(opened, kit.calls, case_id=str(step.case_id))
            except (Frozen, ConsentRequired):
                # It waits, sealed, until the erasure that was asked for is settled one way or the other.
                return step.now + _WHILE_FROZEN
        return None

    def run_abandon(step: StepRow) -> None:
        with suppress(NotFound, Erased):
            end_abandoned(kit.calls, case_id=str(step.case_id))

    return {
        DELIVER_STEP: run_deliver,
        ABANDON_STEP: run_abandon,
        RECKON_STEP: run_reckon,
        EXPIRE_STEP: run_expire,
        LOOK_STEP: run_look,
        COMPLETE_STEP: run_complete,
        LEDGER_STEP: run_ledger,
        DROP_KEY_STEP: lambda step: drop_key(opened, step.key),
        ASK_AGAIN_STEP: lambda step: ask_again(opened, step.key),
    }


def create_api() -> Flask:
    kit = service.build("consent", "api")
    try:
        return app(kit, stores(kit))
    except SettingsError as error:
        raise SystemExit(str(error)) from error


def worker() -> int:
    kit = service.build("consent", "worker")
    opened, waits = stores(kit), windows(kit)
    try:
        runs = kinds(kit, opened, waits)
    except SettingsError as error:
        raise SystemExit(str(error)) from error

    def run_daily(now: datetime) -> None:
        ran = run_clock(opened, waits, now=now, most=kit.settings.clock_max)
        if ran.stopped is not None:
            log.error("clock.stopped", reason=str(ran.stopped))

    daily = Every(seconds=_DUE_SECONDS, run=run_daily, name="clock")
    return service.worker(kit, handlers(opened, kit.public_keys, waits), runs, [daily])


def main() -> int:
    if sys.argv[1:] != ["worker"]:
        print("usage: python -m services.consent.main worker", file=sys.stderr)  # noqa: T201
        return 2
    return worker()


if __name__ == "__main__":
    raise SystemExit(main())
