"""Wiring of the case service: `create_api()` for gunicorn, `python -m services.case.main worker`."""

from __future__ import annotations

import sys
from typing import Final

from services.case import consumer
from services.case.actions import cases, safeguarding, search
from services.case.api import blueprints
from services.case.context import Context, open_context
from shared.events import consent
from shared.security.roles import CASE_READERS
from shared.service.service import Service

service: Final = Service[Context]("case", open_context)
service.routes(blueprints)
service.tells(case=CASE_READERS, person=CASE_READERS, stop_all=CASE_READERS, entry=CASE_READERS, contact=CASE_READERS)

service.on(consent.GIVEN, consumer.consents_changed)
service.on(consent.WITHDRAWN, consumer.consents_changed)
service.on(consent.EXPIRED, consumer.consents_changed)

service.step(safeguarding.ALERT_STEP, safeguarding.alert)

service.on_rotation(search.rehash)
service.on_rotation(safeguarding.rehash)

service.every(60, cases.end_expired_shells)
service.every(60, safeguarding.watch_alerts)
service.every(3600, safeguarding.forget_old)

create_api = service.create_api

if __name__ == "__main__":
    sys.exit(service.main(sys.argv[1:]))
