"""The real coordinator in a test's own process: its routes, its inbox and its steps, on the run's own MongoDB.

The test is the bus: what the coordinator says is taken from its outbox, and what others say comes when the test brings
it, as the consumer would hand it over (the account that the broker vouches for beside the body).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import structlog
from werkzeug.test import TestResponse

from deploy.local.stack import Stack
from services.consent import main
from services.consent.actions.readings import READ_STEP
from services.consent.actions.saga import ASK_AGAIN_STEP
from services.consent.context import Context
from shared.clock import utc_now
from shared.erasure.readings import READER
from shared.events import Event, case, consent, read, write
from shared.ids import new_id
from shared.messaging.deliveries import Delivery
from shared.messaging.inbox import Inbox
from shared.security.signing import Signer
from shared.service.service import Opened
from shared.uk.working_days import london_day
from tests.helpers import kill, rewrite
from tests.system import System

Row = dict[str, Any]
ELSEWHERE = ("phones", "shared_drive")
# Who may do what: the first logs, the second may confirm it, the third ends it.
ROLES = {"Ola": "caseworker", "Priya": "caseworker", "Manu": "manager"}


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A message on its way to the coordinator. account: the service whose account sent it; None for nobody's."""

    event: Event
    account: str | None
    key: str | None = None


@dataclass(kw_only=True)
class Coordinator:
    """The consent service, api and worker, worked one thing at a time."""

    system: System
    opened: Opened[Context]
    _tokens: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.runtime = self.opened.runtime
        self.db = self.runtime.unit_of_work.db
        self._browser = main.service.app(self.opened).test_client()
        # The test takes what is said from the outbox itself: nothing goes to the broker.
        self.runtime.unit_of_work.hand_over = lambda rows: None
        self.runtime.steps.serve(self.opened.steps)
        self._inbox = Inbox(
            self.runtime.register,
            self.opened.handlers,
            keys=self.runtime.keys,
            names=self.runtime.settings.names,
            without_gate=frozenset({consent.STARTED.type}),
        )
        self.runtime.register.prepare()

    # People

    def call(self, who: str, method: str, path: str, body: Row | None = None, **headers: str) -> TestResponse:
        if who not in self._tokens:
            self._tokens[who] = self.system.token(ROLES[who], sub=who.lower())
        named = {"Authorization": f"Bearer {self._tokens[who]}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        return self._browser.open(f"/v1{path}", method=method, json=body, headers=named)

    def a_family(self) -> str:
        """A case that the coordinator has heard of, with a parent and a consent to the file."""
        case_id, now = new_id(), utc_now()
        people = [{"person": new_id(), "role": "parent", "post": True, "email": False}]
        self.bring(Envelope(event=an_event("case", case.PEOPLE, case_id, people=people), account="case"))
        body = {
            "case_id": case_id,
            "decision": "given",
            "given_by": {"name": "Żaneta Okonkwo-Łukasik", "capacity": "parental_responsibility"},
            "channel": "phone",
            "informed_at": (now - timedelta(minutes=5)).isoformat(),
            "given_at": now.isoformat(),
            "statement_version": "1",
            "purposes": [{"purpose": "casework"}],
        }
        assert self.call("Ola", "POST", "/consents", body).status_code == 201
        self.said()
        return case_id

    # The bus

    def said(self) -> list[Event]:
        """What it has said since it was last asked, in order; the outbox is empty afterwards."""
        rows = list(self.runtime.unit_of_work.outbox.find().sort("_id", 1))
        self.runtime.unit_of_work.outbox.delete_many({"_id": {"$in": [row["_id"] for row in rows]}})
        return [read(bytes(row["body"])) for row in rows]

    def bring(self, *envelopes: Envelope, redelivered: bool = False) -> None:
        """Messages arrive, together."""
        self._inbox.handle(
            [
                Delivery(
                    body=write(envelope.event),
                    user_id=None if envelope.account is None else f"{self.runtime.settings.names}-{envelope.account}",
                    message_id=envelope.event.id,
                    delivery_count=int(redelivered),
                    routing_key=envelope.key or envelope.event.routing_key,
                )
                for envelope in envelopes
            ]
        )

    def unhandled(self, parked_messages: str) -> list[str]:
        """Why messages were `parked` or `deferred` since it was last asked, in order."""
        rows = list(self.db[parked_messages].find().sort([("at", 1), ("_id", 1)]))
        self.db[parked_messages].delete_many({"_id": {"$in": [row["_id"] for row in rows]}})
        return [str(row["reason"]) for row in rows]

    # Steps and time

    def works(self, case_id: str, *, minutes_later: bool = False) -> None:
        """Its steps are run until none is due. minutes_later: also those that look again after a while."""
        now = utc_now()
        due = now if minutes_later else now + timedelta(hours=1)
        self.db["steps"].update_many({"case_id": case_id, "kind": ASK_AGAIN_STEP}, {"$set": {"due": due}})
        steps = self.runtime.steps
        # What its dispatcher does, here and now instead of on a thread of its own.
        while (row := steps._claim(utc_now())) is not None:
            steps._free.acquire()
            steps._run_one(row)
            if row["kind"] == READ_STEP:
                # The next pass may begin at once: no servers need their rest.
                rewrite(self.opened.context.stores.readings, {}, took_ms=0)
        assert self.db["steps"].find_one({"case_id": case_id, "attempts": {"$gt": 0}}) is None, "a step has failed"

    def a_night_passes_over(self, hold_id: str) -> None:
        """The hold's last day was yesterday."""
        yesterday = london_day(utc_now()) - timedelta(days=1)
        rewrite(self.opened.context.stores.holds, {"_id": hold_id}, until=yesterday)

    def forget_that_it_knew(self, request_id: str, service: str) -> None:
        """The request as a deployment without that service would have left it."""
        requests = self.opened.context.stores.requests
        request = requests.get(request_id)
        assert request is not None
        attempts = {name: number for name, number in request.attempts.items() if name != service}
        rewrite(requests, {"_id": request_id}, attempts=attempts)
        self.db["receipts"].delete_many({"request": request_id, "service": service})

    def put_away(self, case_id: str) -> None:
        """Nothing of this story is left to be done in the next."""
        self.db["steps"].delete_many({"case_id": case_id})
        self.said()
        for parked_messages in ("parked", "deferred"):
            self.unhandled(parked_messages)

    # Facts

    def row(self, request_id: str) -> Row:
        found = self.db["requests"].find_one({"_id": request_id})
        assert found is not None
        return found

    def receipts(self, request_id: str) -> list[str]:
        return [row["jws"] for row in self.db["receipts"].find({"request": request_id}).sort([("at", 1), ("_id", 1)])]

    def count(self, store: str, **where: Any) -> int:
        return self.db[store].count_documents(where)

    def gate(self, case_id: str) -> str | None:
        return self.runtime.unit_of_work.gates.state(case_id)

    def ledger_entries(self, request_id: str) -> list[str]:
        """The kinds of what the ledger has about a request, in order."""
        rows = self.opened.context.stores.ledger.rows.find({"about": request_id}).sort("_id", 1)
        return [str(row["kind"]) for row in rows]

    def signer(self, service: str, name: str = "receipt.jwk") -> Signer:
        return Signer(json.loads((self.system.provided.secrets[service] / name).read_text()))


def an_event(source: str, kind: Any, case_id: str, **data: Any) -> Event:
    """An event of a service's. Its state events count up with time."""
    now = utc_now()
    seq = int(now.timestamp() * 1000)
    return Event(id=new_id(), type=kind, source=source, time=now, seq=seq, data={"case": case_id, **data})


@contextmanager
def a_coordinator(stack: Stack, prefix: str) -> Iterator[Coordinator]:
    """One with names of its own, so that no worker of the shared system takes its messages or steps."""
    provided = stack.provision(prefix)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in provided.env["consent"].items():
            patch.setenv(name, value)
        patch.setenv("FMN_ELSEWHERE", ",".join(ELSEWHERE))
        opened = main.service.open("worker")
    # A story parks many messages on purpose, and each would say so.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    reader = stack.start_services(provided, only=[READER])
    try:
        yield Coordinator(system=System(stack, provided), opened=opened)
    finally:
        kill(reader.values())
        opened.runtime.unit_of_work.client.close()
        stack.deprovision(prefix)
