"""Wiring of the notifier: `create_api()` for gunicorn, `python -m services.notifier.main worker`."""

from __future__ import annotations

import sys
from typing import Final

from services.notifier import consumer
from services.notifier.actions import alerts, last_letter_delivery, last_letters, ledger_heads, printer, sending
from services.notifier.api import blueprints
from services.notifier.context import Context, open_context
from shared.events import case, consent
from shared.security.roles import CASE_READERS
from shared.service.service import Service

service: Final = Service[Context]("notifier", open_context)
service.routes(blueprints)
service.tells(case=CASE_READERS, notification=CASE_READERS)

service.on(case.CREATED, consumer.case_state_changed)
service.on(case.STATE, consumer.case_state_changed)
service.on(case.PEOPLE, consumer.people_changed)
service.on(case.STOPPED, consumer.contact_stopped_or_resumed)
service.on(consent.GIVEN, consumer.consents_changed)
service.on(consent.WITHDRAWN, consumer.consents_changed)
service.on(consent.EXPIRED, consumer.consents_changed)
service.on(consent.FROZEN, consumer.case_frozen)
service.on(consent.RELEASED, consumer.case_released)
service.on(consent.PREPARING, consumer.last_letter_requested)
service.on(consent.CANCELLED, consumer.erasure_cancelled)
service.on(consent.VERIFIED, consumer.erasure_verified)
service.on(consent.SETTLED, consumer.last_letter_settled)
service.on(consent.REVIEW_ASKED, consumer.review_letter_requested)

service.step(sending.SEND_STEP, sending.send)
service.step(last_letters.SEAL_STEP, last_letters.seal)
service.step(last_letter_delivery.DELIVERY_STEP, last_letter_delivery.deliver)
service.step(alerts.ALERT_STEP, alerts.send_alert)
service.step(ledger_heads.HEAD_STEP, ledger_heads.send_head)

service.every(60, alerts.report_unsent)
service.every(300, printer.report_waiting)
service.every(600, ledger_heads.report_unsent)

service.before_erasure(sending.wait_for_hand_overs)
service.receipt_claims(last_letter_delivery.receipt_claims)

create_api = service.create_api

if __name__ == "__main__":
    sys.exit(service.main(sys.argv[1:]))
