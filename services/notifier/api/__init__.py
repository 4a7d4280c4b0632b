"""The routes of the notifier: parse, authorise, call an action, dump."""

from services.notifier.api.alerts import alert_routes
from services.notifier.api.notifications import notification_routes
from services.notifier.api.packs import pack_routes
from services.notifier.api.templates import template_routes

__all__ = ["alert_routes", "notification_routes", "pack_routes", "template_routes"]
