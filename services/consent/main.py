"""Wiring of the consent service: `create_api()` for gunicorn, `python -m services.consent.main worker`."""

from __future__ import annotations

import sys
from typing import Final

from services.consent import consumer
from services.consent.actions import (
    backups,
    clock,
    erasure_receipts,
    intake,
    ledger,
    organisations,
    readings,
    reviews,
    rights,
    saga,
)
from services.consent.api import blueprints
from services.consent.api.statement import jwks
from services.consent.context import Context, open_context
from shared.events import case, document, erasure, notification
from shared.http import JWKS_PATH
from shared.security.roles import ANYONE, CONSENT_READERS, HOLDERS
from shared.service.service import Service

service: Final = Service[Context]("consent", open_context)
service.routes(blueprints)
service.tells(
    case=ANYONE, consent=CONSENT_READERS, request=ANYONE, task=CONSENT_READERS, review=CONSENT_READERS, hold=HOLDERS
)
service.page(JWKS_PATH, jwks)

service.on(case.PEOPLE, consumer.people_changed)
service.on(case.STOPPED, consumer.contact_stopped)
service.on(case.CONTACT_CHANGED, consumer.contact_changed)
service.on(document.QUARANTINE, consumer.quarantine_changed)
service.on(notification.HANDED_OVER, consumer.letter_handed_over)
service.on(notification.FAILED, consumer.letter_failed)
service.on(notification.RETURNED, consumer.letter_returned)
service.on(notification.UNPRINTABLE, consumer.letters_unprintable)
service.on(erasure.LETTER_SEALED, consumer.last_letter_sealed)
service.on(erasure.RECEIPT, consumer.receipt_sent)

service.step(intake.DELIVER_STEP, intake.deliver_step)
service.step(intake.ABANDON_STEP, intake.abandon_step)
service.step(rights.RECKON_STEP, rights.reckon_step)
service.step(clock.EXPIRE_STEP, clock.expire_step)
service.step(reviews.REVIEW_STEP, reviews.review_step)
service.step(ledger.LEDGER_STEP, ledger.ledger_step)
service.step(saga.BEGIN_STEP, saga.begin_step)
service.step(organisations.END_STEP, organisations.end_step)
service.step(saga.ASK_AGAIN_STEP, saga.ask_again_step)
service.step(readings.READ_STEP, readings.read_step)
service.step(readings.COMPLETE_STEP, erasure_receipts.complete_step)

service.every(60, clock.run_regularly)
service.every(600, backups.report_overdue)
service.every(60, ledger.look_after)
service.every(600, ledger.mail_head)
service.every(3600, organisations.end_unnamed)

service.on_release(reviews.restart)

create_api = service.create_api

if __name__ == "__main__":
    sys.exit(service.main(sys.argv[1:]))
