"""A vhost and databases of their own on the running servers, services on them, and a worker to be killed.

As a program (`python -m tests.service.messaging_rig CONFIG SERVICE WHAT`) it is that worker, in a process of its own.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from deploy.local import mongo
from deploy.local.broker import Management
from deploy.local.stack import Stack
from deploy.mongo.accounts import drop_account, ensure_account
from deploy.rabbitmq.definitions import account, render
from shared.db import Register
from shared.db.keys.rotation import Rotation
from shared.db.unit_of_work import Tx, UnitOfWork, connect
from shared.erasure.named_keys import NamedKeys
from shared.events import SERVICES, Event, consent
from shared.ids import new_id
from shared.messaging.bus import Consumer, Publisher
from shared.messaging.inbox import Handler, Inbox
from shared.messaging.outbox import Outbox
from shared.messaging.steps import StepRow, Steps
from shared.service.worker import run_worker
from tests.helpers import roots_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One set of names: URLs by service, and the folder with the roots of their key trees."""

    names: str
    mongo: Mapping[str, str]
    amqp: Mapping[str, str]
    roots: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    service: str
    names: str
    amqp_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """The names, and the broker's management for what only its administrator can do."""

    config: Config
    management: Management

    def queued(self, service: str) -> list[str]:
        """Take what lies in a service's queue: message ids."""
        path = f"/api/queues/{quote(self.config.names)}/fmn.{service}/get"
        body = {"count": 5000, "ackmode": "ack_requeue_false", "encoding": "base64"}
        return [message["properties"]["message_id"] for message in self.management.call("POST", path, body)]

    def inject(self, key: str, body: bytes, properties: Mapping[str, Any]) -> None:
        """Publish as somebody who isn't one of the services."""
        path = f"/api/exchanges/{quote(self.config.names)}/fmn.events/publish"
        payload = {"routing_key": key, "payload": body.decode(), "payload_encoding": "string", "properties": properties}
        assert self.management.call("POST", path, payload) == {"routed": True}


@contextmanager
def a_rig(stack: Stack) -> Iterator[Rig]:
    """Accounts, vhost and databases under a new prefix; dropped afterwards."""
    where, ports = stack.places, stack.ports
    prefix = f"t{secrets.token_hex(4)}"
    management = Management.of(where, ports)
    passwords = {service: secrets.token_urlsafe(12) for service in SERVICES}
    management.apply(render(prefix, passwords))
    with mongo.admin_client(where, ports) as admin, tempfile.TemporaryDirectory(prefix="roots-") as roots:
        for service in SERVICES:
            ensure_account(admin, prefix, service, passwords[service])
        mongo_host = f"127.0.0.1:{ports['mongodb']}"
        amqp_host = f"127.0.0.1:{ports['amqp']}/{prefix}"
        config = Config(
            names=prefix,
            mongo={
                s: f"mongodb://{prefix}-{s}:{p}@{mongo_host}/?authSource=admin&directConnection=true"
                for s, p in passwords.items()
            },
            amqp={s: f"amqp://{account(prefix, s)}:{p}@{amqp_host}" for s, p in passwords.items()},
            roots=roots,
        )
        try:
            yield Rig(config=config, management=management)
        finally:
            management.drop(prefix, [account(prefix, service) for service in SERVICES])
            for service in SERVICES:
                drop_account(admin, prefix, service)


class Node:
    """One service in this process; its handlers write down what they applied, in their transaction."""

    def __init__(self, config: Config, service: str, *, amqp: str | None = None, mongo: str | None = None) -> None:
        self.config, self.service = config, service
        self.client = connect(mongo or config.mongo[service])
        roots = roots_in(Path(config.roots) / service)
        self.unit_of_work = UnitOfWork(self.client, names=config.names, service=service, roots=roots)
        self.unit_of_work.vault.start()
        self.register = Register(self.unit_of_work)
        self.steps = Steps(self.register)
        self.keys = NamedKeys(self.unit_of_work, Rotation(self.unit_of_work.vault), self.steps)
        self.amqp = amqp or config.amqp[service]
        self.publisher = Publisher(self.amqp, service)
        self.applied = self.unit_of_work.db["applied"]
        # What else a test wants to happen in the handler, after it has written.
        self.also: Callable[[Tx, Event], None] = lambda tx, event: None

    def open(self) -> Node:
        """Make outbox and inbox and their indexes (a worker makes its own)."""
        self.outbox = Outbox(self.register, self.publisher)
        self.inbox = Inbox(self.register, self.handlers(), keys=self.keys, names=self.config.names)
        self.register.prepare()
        if "applied" not in self.unit_of_work.db.list_collection_names():
            self.unit_of_work.db.create_collection("applied")
        return self

    def handlers(self) -> dict[str, Handler]:
        types = (consent.GIVEN, consent.FROZEN, consent.PREPARING, consent.CANCELLED)
        return {kind.type: self._apply for kind in types}

    def _apply(self, tx: Tx, event: Event) -> None:
        self.applied.insert_one({"event": event.id, "case": event.case, "seq": event.seq}, session=tx.session)
        self.also(tx, event)

    def consumer(self, amqp: str | None = None) -> Consumer:
        return Consumer(amqp or self.amqp, f"fmn.{self.service}", self.inbox.handle)

    def says(self, case_id: str, kind: Any = consent.PREPARING, times: int = 1) -> list[Event]:
        """Emit events about a case, in one transaction."""
        self.unit_of_work.gates.make_if_unknown(case_id)
        more = {"request": new_id(), "received_at": "2026-11-20T10:00:00+00:00"}
        data = {"case": case_id} | {name: value for name, value in more.items() if name in kind.fields}
        return self.unit_of_work.run(lambda tx: [tx.emit(kind, data) for _ in range(times)])

    def seen(self) -> list[str]:
        return [row["event"] for row in self.applied.find({}, sort=[("_id", 1)])]

    def close(self) -> None:
        self.publisher.stop()
        self.client.close()


@contextmanager
def a_node(stack: Stack, service: str = "case") -> Iterator[Node]:
    """One service in this process, on names of its own."""
    with a_rig(stack) as rig:
        node = Node(rig.config, service).open()
        try:
            yield node
        finally:
            node.close()


class Wire:
    """A TCP forwarder that can be cut: at once, or after so many bytes towards the server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.cut_after: int | None = None
        self.up = True
        self._pairs: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Drop every connection now, and refuse new ones until `up` is set again."""
        self.up = False
        for end in self._pairs:
            _shut(end)
        self._pairs.clear()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if not self.up:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._port))
            self._pairs += [near, far]
            threading.Thread(target=self._pump, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, outward: bool) -> None:
        try:
            while data := source.recv(4096):
                if outward and self.cut_after is not None:
                    self.cut_after -= len(data)
                    if self.cut_after <= 0:
                        self.cut_after = None
                        break
                sink.sendall(data)
        except OSError:
            pass
        _shut(source)
        _shut(sink)


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


def port_of(url: str) -> int:
    return int(url.rpartition("@")[2].partition("/")[0].partition(":")[2])


def through(url: str, wire: Wire) -> str:
    return url.replace(f":{port_of(url)}/", f":{wire.port}/")


def start_worker(config: Config, service: str, what: str, folder: Path) -> subprocess.Popen[bytes]:
    """The worker of a service as a process; `ready-<service>` in the folder is touched when it consumes."""
    file = folder / f"config-{secrets.token_hex(4)}.json"
    file.write_text(
        json.dumps(
            {"names": config.names, "mongo": dict(config.mongo), "amqp": dict(config.amqp), "roots": config.roots}
        )
    )
    env = {**os.environ, "FMN_READY_FILE": str(folder / f"ready-{service}")}
    with (folder / f"{service}.log").open("ab") as log_file:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.service.messaging_rig", str(file), service, what],
            env=env,
            stdout=log_file,
            stderr=log_file,
        )


def _killed_by(case_id: str) -> Callable[[Tx, Event], None]:
    def also(tx: Tx, event: Event) -> None:
        if event.case == case_id:
            os.kill(os.getpid(), signal.SIGKILL)

    return also


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(config_file: str, service: str, what: str) -> int:
    node = Node(Config(**json.loads(Path(config_file).read_text())), service)
    word, _, about = what.partition("=")
    if word == "emit-and-die":
        node.open()
        node.unit_of_work.hand_over = _die
        node.says(about, times=3)
        return 1
    if word == "killed-by":
        node.also = _killed_by(about)
    if word == "slow":
        node.also = lambda tx, event: time.sleep(0.2)

    def die_once(step: StepRow) -> None:
        if step.attempts == 1:
            _die()
        node.applied.insert_one({"event": step.key, "by": os.getpid()})

    node.steps.serve({"die_once": die_once})
    return run_worker(
        _Settings(service=service, names=node.config.names, amqp_url=node.amqp),
        node.register,
        node.handlers(),
        node.steps,
        keys=node.keys,
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
