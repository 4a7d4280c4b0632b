"""Wiring of the notifier: its api as `create_api()`, its worker as `python -m services.notifier.main worker`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from flask import Flask

from services.notifier.actions import alerts, last_letter_delivery, last_letters, sending
from services.notifier.actions.case_changes import SEND_STEP
from services.notifier.actions.external import Outside
from services.notifier.actions.last_letter_delivery import OVER_STEP
from services.notifier.actions.last_letters import KEY_STEP, SEAL_STEP
from services.notifier.api import alert_routes, notification_routes, pack_routes, template_routes
from services.notifier.consumer import handlers
from services.notifier.outways.hand_over import HandOver
from services.notifier.store import Stores
from shared.messaging.steps import Every, Run
from shared.ops.settings import SettingsError
from shared.service.service import Kit, api, build, worker

_WATCH_SECONDS = 60.0


def stores(kit: Kit) -> Stores:
    """The service's stores, opened through the kit's register."""
    return Stores.open(kit.register, kit.steps)


def outside(kit: Kit) -> Outside:
    """The other services, the printer and the relay. Raises SettingsError."""
    settings = kit.settings
    try:
        ways = HandOver(
            office=settings.office,
            printer=settings.printer,
            smtp_url=settings.smtp_url or "",
            smtp_plain=settings.smtp_plain,
        )
    except ValueError as error:
        raise SettingsError(f"FMN_PRINTER or FMN_SMTP_URL can't be used. {error}") from error
    return Outside(calls=kit.calls, hand_over=ways)


def kinds(opened: Stores, beyond: Outside, lead: str | None) -> dict[str, Run]:
    """What runs each kind of step of this service. lead: the safeguarding lead's mailbox."""
    return {
        SEND_STEP: lambda step: sending.send(opened, beyond, step),
        SEAL_STEP: lambda step: last_letters.seal(opened, beyond, step),
        KEY_STEP: lambda step: last_letters.destroy_key(opened, step),
        alerts.ALERT_STEP: lambda step: alerts.send(opened, beyond, lead, step),
        OVER_STEP: lambda step: last_letter_delivery.hand_over(opened, beyond, step),
    }


def join_erasing(kit: Kit, opened: Stores) -> None:
    """What is particular about an erasure here: hand-overs end first, and the second receipt tells of the letter."""
    erasure_participant = kit.erasure_participant

    def claims(case_id: str, request: str) -> Mapping[str, Any]:
        row = erasure_participant.rows.find_one({"_id": request}, {"receipts": 1})
        is_second = row is not None and len(row["receipts"]) == 1
        return last_letter_delivery.outcome_told(opened, request) if is_second else {}

    erasure_participant.before_walk = lambda case_id, request: sending.wait_for_hand_overs(opened, case_id)
    erasure_participant.more_claims = claims


def create_api() -> Flask:
    kit = build("notifier", "api")
    opened, beyond = stores(kit), outside(kit)
    blueprints = [
        notification_routes(opened, beyond, kit.known),
        template_routes(kit.settings.office),
        pack_routes(kit.settings.office, beyond),
        alert_routes(opened),
    ]
    return api(kit, blueprints)


def main(arguments: list[str]) -> int:
    """Run the worker until it is told to stop; its exit code. 2 for a setting that is wrong, said in one sentence."""
    if arguments != ["worker"]:
        sys.stderr.write("This runs `worker`; the api runs under gunicorn as services.notifier.main:create_api().\n")
        return 2
    try:
        kit = build("notifier", "worker")
        beyond = outside(kit)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    opened = stores(kit)
    join_erasing(kit, opened)
    watch = Every(seconds=_WATCH_SECONDS, run=lambda now: alerts.watch(opened, now=now), name="alerts")
    return worker(kit, handlers(opened), kinds(opened, beyond, kit.settings.safeguarding_email), [watch])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
