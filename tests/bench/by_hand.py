"""Insert, then publish by hand: the case service's `POST /cases` and what the notifier makes of it, done unsafely.

Without outbox, inbox and transaction: it loses the event when it dies between the two, and repeats the effect of one
that comes twice. All else is the services' own: gunicorn, token, role, schema, a new case's gate and data key, audit.
`create_api()` is the one half; as a program (`python -m tests.bench.by_hand`) it is the other, which hears and writes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pika  # type: ignore[import-untyped]
from flask import Flask

from services.case import schemas
from services.case.context import open_context
from services.case.model.cases import Case
from services.case.model.references import new_reference
from services.notifier.model.recipients import KnownCase
from services.notifier.store import Stores
from shared.clock import utc_now
from shared.events import Event, read, write
from shared.events import case as events
from shared.http import Blueprint, Inward, JsonResponse, allow, created, idempotent
from shared.ids import new_id
from shared.messaging.bus.amqp import EXCHANGE, persistent
from shared.security.roles import CASEWORK
from shared.service.runtime import Runtime, open_runtime
from shared.service.service import Opened, Service


class Hand:
    """Publishes at once and waits for nothing: pika's plain connection, one a thread."""

    def __init__(self, amqp_url: str) -> None:
        self._parameters = pika.URLParameters(amqp_url)
        self._parameters.heartbeat = 0
        self._local = threading.local()

    def publish(self, event: Event) -> None:
        if not hasattr(self._local, "channel"):
            self._local.channel = pika.BlockingConnection(self._parameters).channel()
        account = str(self._parameters.credentials.username)
        properties = persistent(message_id=event.id, user_id=account, app_id="by hand")
        self._local.channel.basic_publish(EXCHANGE, event.routing_key, write(event), properties)


def create_api() -> Flask:
    """The case service's api, with this one route."""
    runtime = open_runtime("case", "api")
    cases, hand = open_context(runtime).stores.cases, Hand(runtime.settings.amqp_url)
    blp = Blueprint("cases", description="Cases, by hand.")

    @blp.route("/cases", methods=["POST"])
    @allow(*CASEWORK, inward=Inward.YES)
    @blp.arguments(schemas.NewCase)
    @blp.response(201, schemas.CaseOut)
    @idempotent(lambda answer: answer)
    def start_case(body: Mapping[str, Any]) -> JsonResponse:
        """Insert the row of a shell, then say so."""
        case_id, now = new_id(), utc_now()
        runtime.unit_of_work.gates.make_if_unknown(case_id)
        expires = now + timedelta(days=runtime.settings.shell_days)
        shell = {"reference": new_reference(), "state": "shell", "channel": body["channel"], "expires_at": expires}
        cases.rows.insert_one(cases.row_of(Case(id=case_id, version=1, created_at=now, **shell)))
        data = {"case": case_id, "state": "shell", "expires_at": expires.isoformat()}
        hand.publish(Event(id=new_id(), type=events.CREATED, source="case", time=now, seq=1, data=data))
        shown = {**shell, "id": case_id, "expires_at": expires.isoformat()}
        return created(shown, location=f"/v1/cases/{case_id}", etag="1", case_id=case_id)

    by_hand: Service[Runtime] = Service("case", lambda opened: opened)
    by_hand.routes(lambda context: [blp])
    by_hand.tells(**dict.fromkeys(("case", "contact", "entry", "person", "stop_all"), CASEWORK))
    return by_hand.app(Opened(runtime=runtime, context=runtime, handlers={}, steps={}, jobs=()))


def hear() -> None:
    """Write the notifier's row of each new case, and ack the message."""
    runtime = open_runtime("notifier", "worker")
    known_cases = Stores.open(runtime.register, runtime.steps, runtime.keys, runtime.restores).known_cases
    runtime.register.prepare()

    def on_message(channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        event = read(body)
        runtime.unit_of_work.gates.make_if_unknown(event.case)
        known = KnownCase(case_id=event.case, state=event.data["state"], version=1)
        known_cases.rows.insert_one(known_cases.row_of(known))
        channel.basic_ack(method.delivery_tag)

    channel = pika.BlockingConnection(pika.URLParameters(runtime.settings.amqp_url)).channel()
    channel.basic_qos(prefetch_count=50)
    channel.basic_consume("fmn.notifier", on_message)
    Path(os.environ["FMN_READY_FILE"]).touch()
    channel.start_consuming()


if __name__ == "__main__":
    hear()
