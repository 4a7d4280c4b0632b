"""What a test of erasures does that no caller can: look into the servers, speak on the bus, and stand in the way."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import pytest
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from deploy.local import mongo, objects
from deploy.local.broker import Management
from deploy.local.processes import Process
from shared.db import Repository
from shared.events import SERVICES, Event, EventType
from shared.ids import new_id
from shared.messaging.bus import amqp
from shared.security.signing import Signer
from shared.service.runtime import Runtime
from shared.service.service import Opened
from tests.helpers import PATIENCE_SECONDS, Speaker, eventually, kill, restart_at_once, rewrite, start
from tests.system import System, open_service, open_with

Row = dict[str, Any]
CHECKED = {"checked": ["family", "authority", "safeguarding"]}


@dataclass(kw_only=True)
class Inside:
    """The servers under a system, with their administrators' rights."""

    system: System
    mongo: MongoClient[Row]
    management: Management
    _speakers: dict[str, Speaker] = field(default_factory=dict)
    _runtimes: dict[str, Runtime] = field(default_factory=dict)

    @property
    def names(self) -> str:
        return self.system.provided.prefix

    def queued(self) -> dict[str, int]:
        """Messages that wait in each queue, as the queue itself says: the management's numbers are seconds old."""
        url = (self.system.provided.secrets["case"] / "amqp-url").read_text()
        connection = amqp.connect(amqp.parameters(url, "a test"))
        try:
            channel = connection.channel()
            return {
                queue: channel.queue_declare(queue, passive=True).method.message_count
                for queue in (f"fmn.{service}" for service in SERVICES)
            }
        finally:
            connection.close()

    # MongoDB

    # Rows are read as the services read them: a write that a majority hasn't yet would be seen here a moment too early.

    def rows(self, service: str, store: str, **where: Any) -> list[Row]:
        return list(self._read(service, store).find(where))

    def row(self, service: str, store: str, **where: Any) -> Row | None:
        return self._read(service, store).find_one(where)

    def _read(self, service: str, store: str) -> Collection[Row]:
        return self.mongo.get_database(f"{self.names}_{service}", read_concern=ReadConcern("majority"))[store]

    def change(self, service: str, store: str, where: Row, **changes: Any) -> None:
        """Change rows behind the service's back, so that it still takes them for its own."""
        opened = self.runtime(service).register.stores.get(store)
        if isinstance(opened, Repository):
            rewrite(opened, where, **changes)
        else:
            self.mongo[f"{self.names}_{service}"][store].update_many(where, {"$set": changes})

    def runtime(self, service: str) -> Runtime:
        """The service's own stores and gates, in this process."""
        if service not in self._runtimes:
            self._runtimes[service] = open_with(self.system.provided, service, "a test").runtime
        return self._runtimes[service]

    def close_gate(self, service: str, case_id: str) -> None:
        unit_of_work = self.runtime(service).unit_of_work
        unit_of_work.run(lambda tx: unit_of_work.gates.close(tx.session, case_id))

    def gate(self, service: str, case_id: str) -> str | None:
        row = self.row(service, "gates", _id=case_id)
        return None if row is None else str(row["state"])

    def phase(self, request_id: str) -> str:
        row = self.row("consent", "requests", _id=request_id)
        assert row is not None
        return str(row["phase"])

    def keys_named(self, service: str, name: str) -> int:
        return self.mongo[f"{self.names}_{service}_vault"]["keys"].count_documents({"_id": name})

    def left_of(self, case_id: str) -> list[str]:
        """Whatever is personal of the case, anywhere: records, search hashes, keys, objects, unfinished uploads."""
        left = []
        for service in SERVICES:
            database = self.mongo[f"{self.names}_{service}"]
            for name in database.list_collection_names():
                if count := database[name].count_documents({"case_id": case_id, "personal": {"$exists": True}}):
                    left.append(f"{service}.{name}: {count}")
            vault = self.mongo[f"{self.names}_{service}_vault"]
            for name in vault.list_collection_names():
                # That a key is destroyed is remembered for a while: of one that isn't yet, `gone_at` is null.
                named = {"_id": case_id, "gone_at": None}
                if count := vault[name].count_documents({"$or": [{"case_id": case_id}, named]}):
                    left.append(f"{service}_vault.{name}: {count}")
        for store in ("receiving", "documents", "versions", "projections"):
            if count := len(self.rows("document", store, case_id=case_id)):
                left.append(f"document.{store}: {count}")
        return left + [f"object {key}" for key in self.objects_of(case_id)]

    def objects_of(self, case_id: str) -> list[str]:
        store, bucket = objects.admin(self.system.stack.places, self.system.stack.ports).s3, f"{self.names}-document"
        listed = store.list_objects(bucket, f"{case_id}/", recursive=True, include_version=True)
        unfinished = store._list_multipart_uploads(bucket, prefix=f"{case_id}/").uploads
        return [str(o.object_name) for o in listed] + [f"unfinished {u.object_name}" for u in unfinished]

    @contextmanager
    def locked(self, *wanted: tuple[str, str, Row]) -> Iterator[int]:
        """Hold these rows (database's last word, store, where) in an open transaction that is taken back at the end.

        Whoever wants to change or delete one has to wait: how a test stops a process at one line of its work. Answers
        how many rows it got hold of.
        """
        with self.mongo.start_session() as session:
            try:
                yield self._got_hold_of(session, wanted)
            finally:
                if session.in_transaction:
                    session.abort_transaction()

    def _got_hold_of(self, session: ClientSession, wanted: tuple[tuple[str, str, Row], ...]) -> int:
        """Begin a transaction that has these rows; again while somebody else is just writing one of them."""
        for _ in range(100):
            session.start_transaction()
            try:
                return sum(
                    self.mongo[f"{self.names}_{database}"][store]
                    .update_many(where, {"$set": {"in_the_way": new_id()}}, session=session)
                    .modified_count
                    for database, store, where in wanted
                )
            except OperationFailure as error:
                session.abort_transaction()
                if not error.has_error_label("TransientTransactionError"):
                    raise
                time.sleep(0.02)
        raise AssertionError("the rows were written without pause")

    # RabbitMQ

    def say(self, service: str, event_type: EventType, case_id: str, **data: Any) -> Event:
        """Publish an event as this service's account does, under a new id."""
        return self._speaker(service).say(event_type, case_id, **data)

    def publish(self, service: str, id: str, key: str, body: bytes) -> None:
        self._speaker(service).publish(id, key, body)

    def _speaker(self, service: str) -> Speaker:
        if service not in self._speakers:
            self._speakers[service] = Speaker(self.system.provided, service)
        return self._speakers[service]

    def publish_as_nobody(self, key: str, body: bytes, **properties: Any) -> None:
        """Publish as the administrator, who is none of the services: without `user_id` unless one is told."""
        path = f"/api/exchanges/{quote(self.names)}/fmn.events/publish"
        payload = {"routing_key": key, "payload": body.decode(), "payload_encoding": "string", "properties": properties}
        assert self.management.call("POST", path, payload) == {"routed": True}

    @contextmanager
    def listening(self) -> Iterator[Callable[[], list[tuple[str, bytes]]]]:
        """A queue that gets everything the services say meanwhile; answers routing keys and bodies so far."""
        name, vhost, heard = f"tap-{new_id()}", quote(self.names), []
        self.management.call("PUT", f"/api/queues/{vhost}/{name}", {"durable": True, "auto_delete": False})
        bind = f"/api/bindings/{vhost}/e/fmn.events/q/{name}"
        self.management.call("POST", bind, {"routing_key": "#"})

        def so_far() -> list[tuple[str, bytes]]:
            body = {"count": 10_000, "ackmode": "ack_requeue_false", "encoding": "base64"}
            for message in self.management.call("POST", f"/api/queues/{vhost}/{name}/get", body):
                heard.append((str(message["routing_key"]), base64.b64decode(message["payload"])))
            return heard

        try:
            yield so_far
        finally:
            self.management.call("DELETE", f"/api/queues/{vhost}/{name}")

    def has_settled(self, service: str, event_id: str) -> bool:
        """Whether that service has handled, passed by or parked the event."""
        handled = self.row(service, "inbox", _id=f"{service}:{event_id}")
        return handled is not None or self.row(service, "parked", _id=event_id) is not None

    def parked(self, service: str, case_id: str | None) -> list[str]:
        """Why messages about the case were parked, oldest first."""
        rows = self.mongo[f"{self.names}_{service}"]["parked"].find({"case_id": case_id}).sort("at", 1)
        return [str(row["reason"]) for row in rows]

    # Keys and processes

    def signer(self, service: str, name: str = "receipt.jwk") -> Signer:
        return Signer(json.loads((self.system.provided.secrets[service] / name).read_text()))

    def opened(self, service: str, monkeypatch: pytest.MonkeyPatch) -> Opened[Any]:
        """The service as its own process would open it, stores and all, in this one."""
        for name, value in self.system.provided.env[service].items():
            monkeypatch.setenv(name, value)
        return open_service(service, "api")

    def workers(self, *services: str) -> list[Process]:
        return [self.system.process(f"{service}-worker") for service in services or SERVICES]

    @contextmanager
    def stopped(self, *services: str) -> Iterator[None]:
        """These workers don't run meanwhile; all of them when none is named."""
        workers = self.workers(*services)
        kill(workers)
        try:
            yield
        finally:
            start(workers)

    @contextmanager
    def with_settings(self, name: str, **env: str) -> Iterator[None]:
        """A process runs with other settings meanwhile."""
        process = self.system.process(name)
        before = process.program
        process.program = replace(before, env={**before.env, **env})
        try:
            restart_at_once(process)
            yield
        finally:
            process.program = before
            restart_at_once(process)

    # The story

    def a_family(self) -> str:
        """An open case with a parent, an entry and a scan, known to every service."""
        case_id = self.system.an_open_case()
        self.system.a_person(case_id)
        self.system.caseworker.made(
            f"/cases/{case_id}/entries", {"kind": "wish", "text": "a place at the school nearby"}
        )
        assert self.system.a_scan(case_id).status_code == 201
        return case_id

    def completes(self, request_id: str, *, within_seconds: float = PATIENCE_SECONDS) -> None:
        eventually(lambda: self.system.is_completed(request_id), within_seconds=within_seconds)

    def receipts(self, request_id: str) -> list[Row]:
        return list(self.system.auditor.read(f"/requests/{request_id}/receipts")["items"])


@contextmanager
def an_inside(system: System) -> Iterator[Inside]:
    places, ports = system.stack.places, system.stack.ports
    with mongo.admin_client(places, ports) as client:
        inside = Inside(system=system, mongo=client, management=Management.of(places, ports))
        yield inside
        for speaker in inside._speakers.values():
            speaker.stop()
        for runtime in inside._runtimes.values():
            runtime.unit_of_work.client.close()
