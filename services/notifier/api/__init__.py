"""The routes of the notifier: parse, authorise, call an action, dump."""

from __future__ import annotations

from services.notifier.api.alerts import alert_routes
from services.notifier.api.ledger_heads import ledger_head_routes
from services.notifier.api.notifications import notification_routes
from services.notifier.api.packs import pack_routes
from services.notifier.api.templates import template_routes
from services.notifier.context import Context
from shared.http import Blueprint


def blueprints(context: Context) -> list[Blueprint]:
    return [
        notification_routes(context),
        template_routes(context),
        pack_routes(context),
        alert_routes(context),
        ledger_head_routes(context),
    ]
