"""Wiring of the consent service: its api and its worker."""

from __future__ import annotations

import sys

from flask import Flask

from services.consent.actions.consents import LEDGER_STEP
from services.consent.actions.receipts import complete, enter_in_ledger
from services.consent.actions.requests import drop_key
from services.consent.actions.saga import ASK_AGAIN_STEP, COMPLETE_STEP, DROP_KEY_STEP, ask_again
from services.consent.api import consent_routes, hold_routes, request_routes, statement_routes
from services.consent.api.statement import add_jwks
from services.consent.consumer import handlers
from services.consent.store import Stores
from services.consent.store.ledger import Ledger
from shared import service
from shared.service import Kit
from shared.settings import SettingsError
from shared.signing import Signer
from shared.steps import Run, StepRow


def stores(kit: Kit) -> Stores:
    """The service's stores, opened through the kit's register."""
    return Stores.open(
        kit.register,
        steps=kit.steps,
        calendar=kit.settings.calendar,
        ledger_db=kit.work.client[f"{kit.settings.names}_ledger"],
    )


def app(kit: Kit, opened: Stores) -> Flask:
    """The service's routes, on this kit."""
    made = service.api(
        kit,
        [
            statement_routes(),
            consent_routes(kit, opened),
            request_routes(kit, opened),
            hold_routes(kit, opened),
        ],
    )
    add_jwks(made, kit.public_keys)
    return made


def kinds(kit: Kit, opened: Stores) -> dict[str, Run]:
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

    return {
        COMPLETE_STEP: run_complete,
        LEDGER_STEP: run_ledger,
        DROP_KEY_STEP: lambda step: drop_key(opened, step.key),
        ASK_AGAIN_STEP: lambda step: ask_again(opened, step.key),
    }


def create_api() -> Flask:
    kit = service.build("consent", "api")
    return app(kit, stores(kit))


def worker() -> int:
    kit = service.build("consent", "worker")
    opened = stores(kit)
    try:
        runs = kinds(kit, opened)
    except SettingsError as error:
        raise SystemExit(str(error)) from error
    return service.worker(kit, handlers(opened, kit.public_keys), runs)


def main() -> int:
    if sys.argv[1:] != ["worker"]:
        print("usage: python -m services.consent.main worker", file=sys.stderr)  # noqa: T201
        return 2
    return worker()


if __name__ == "__main__":
    raise SystemExit(main())
