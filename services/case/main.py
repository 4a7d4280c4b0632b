"""Wiring alone: the api as `create_api()`, the worker as `python -m services.case.main worker`."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Final

from flask import Flask

from services.case.actions import safeguarding
from services.case.actions.cases import end_expired_shells
from services.case.api import blueprints
from services.case.consumer import handlers
from services.case.store import CaseStores
from shared.messaging.steps import Every, Run, StepRow
from shared.ops.settings import SettingsError
from shared.service.service import Kit, api, build, worker

_SWEEP_SECONDS: Final = 60.0
_HOUR_SECONDS: Final = 3600.0


def stores(kit: Kit) -> CaseStores:
    """The stores of this service, in the register."""
    return CaseStores(kit.register, kit.steps, search_key=kit.settings.search_key)


def kinds(kit: Kit, kept: CaseStores) -> dict[str, Run]:
    """What runs each kind of step of this service."""

    def alert(step: StepRow) -> None:
        safeguarding.alert(kept, kit.calls, step)

    def forget_key(step: StepRow) -> None:
        safeguarding.forget_key(kept, step)

    return {safeguarding.ALERT_STEP: alert, safeguarding.FORGET_KEY_STEP: forget_key}


def create_api() -> Flask:
    kit = build("case", "api")
    return api(kit, blueprints(stores(kit), kit.calls, shell_life=timedelta(days=kit.settings.shell_days)))


def main(arguments: list[str]) -> int:
    """Run the worker until it is told to stop; its exit code. 2 for a setting that is wrong, said in one sentence."""
    if arguments != ["worker"]:
        sys.stderr.write("This runs `worker`; the api runs under gunicorn as services.case.main:create_api().\n")
        return 2
    try:
        kit = build("case", "worker")
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    kept = stores(kit)
    retention = timedelta(days=kit.settings.safeguarding_days)
    periodic = [
        Every(seconds=_SWEEP_SECONDS, run=lambda now: end_expired_shells(kept, now=now), name="shells"),
        Every(seconds=_SWEEP_SECONDS, run=lambda now: safeguarding.watch_alerts(kept, now=now), name="alerts"),
        Every(
            seconds=_HOUR_SECONDS,
            run=lambda now: safeguarding.forget_old(kept, retention=retention, now=now),
            name="safeguarding",
        ),
    ]
    return worker(kit, handlers(kept), kinds(kit, kept), periodic)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
