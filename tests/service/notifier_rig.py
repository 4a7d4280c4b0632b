"""The notifier among its real peers, with a mail relay whose moods a test decides, and a way to look inside."""

from __future__ import annotations

import asyncio
import email
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from deploy.local import mongo
from deploy.local.machine import free_port
from deploy.local.processes import Process
from deploy.local.provision import Provision
from deploy.local.stack import Stack
from shared.events import EventType
from tests.helpers import Speaker, at_end_of_group, eventually, kill
from tests.system import System

REFUSES, HANGS = "refuses", "hangs"
#: Whoever keeps the ledger's head for the office.
KEEPER = "keeper@council.example"


class Relay:
    """A mail relay. `refuses…@` is no mailbox; `hangs…@` no answer to its first mail; while `busy` all wait."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.busy = False
        self.hung = threading.Event()
        self.port = free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, enable_SMTPUTF8=True)

    def start(self) -> None:
        self._controller.start()

    def stop(self) -> None:
        self._controller.stop()

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.busy:
            return "451 4.3.0 Later"
        if address.startswith(REFUSES):
            return "550 5.1.1 No such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        mail = email.message_from_bytes(envelope.original_content or b"", policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        address = envelope.rcpt_tos[0]
        if address.startswith(HANGS) and len(self.to(address)) == 1:
            self.hung.set()
            await asyncio.sleep(3600)
        return "250 OK"

    def to(self, address: str) -> list[EmailMessage]:
        return [mail for mail in self.mails if address in str(mail["To"])]


@dataclass(kw_only=True)
class Rig:
    """Four real services on names of their own; the notifier's mail goes to `relay`."""

    system: System
    relay: Relay
    database: Any
    vault: Any
    processes: Mapping[str, Process]
    speaker: Speaker

    # Given

    def a_reachable_case(self, *purposes: str, **person: Any) -> tuple[str, str]:
        """An open case with one parent: its id, and theirs."""
        case_id = self.system.an_open_case(*({"purpose": name} for name in purposes))
        return case_id, str(self.system.a_person(case_id, **person)["id"])

    @contextmanager
    def busy_relay(self) -> Iterator[None]:
        self.relay.busy = True
        try:
            yield
        finally:
            self.relay.busy = False

    def say(self, event_type: EventType, case_id: str, **data: Any) -> None:
        """What the consent service's account says of a case."""
        self.speaker.say(event_type, case_id, **data)

    # Then

    def notifications(self, case_id: str) -> list[dict[str, Any]]:
        return list(self.system.caseworker.read("/notifications", case_id=case_id)["items"])

    def has_ended(self, case_id: str, status: str, *, count: int = 1) -> list[dict[str, Any]]:
        """The case's notifications, once there are so many and the last has that status."""

        def check() -> list[dict[str, Any]]:
            found = self.notifications(case_id)
            return found if len(found) == count and found[-1]["status"] == status else []

        return eventually(check)

    def printed(self, id: str) -> bool:
        return (self.system.provided.post / f"{id}.pdf").is_file()

    @property
    def post(self) -> set[Path]:
        return set(self.system.provided.post.glob("*.pdf"))

    def sealed(self, request: str) -> list[dict[str, Any]]:
        return list(self.database["sealed_letters"].find({"request": request}))

    def last_letter(self, request: str) -> dict[str, Any]:
        return dict(self.database["last_letters"].find_one({"_id": request}) or {})

    def has_letter_key(self, request: str) -> bool:
        return self.vault["keys"].count_documents({"_id": f"letter:{request}"}) > 0

    def is_quiet(self) -> bool:
        """Nothing is left to be done."""
        return self.database["steps"].count_documents({}) == 0


_RIGS: dict[str, Rig] = {}


def notifier_rig(stack: Stack, worker_id: str) -> Rig:
    """One for each process of a test run; its services end with the group of tests that shares them."""
    if worker_id not in _RIGS:
        relay = Relay()
        relay.start()
        provided: Provision = stack.provision(f"n{worker_id}")
        mail = {"FMN_SMTP_URL": f"smtp://127.0.0.1:{relay.port}", "FMN_LEDGER_HEAD_MAIL": KEEPER}
        processes = stack.start_services(provided, extra_env=mail)
        client = mongo.admin_client(stack.places, stack.ports)
        rig = _RIGS[worker_id] = Rig(
            system=System(stack, provided),
            relay=relay,
            database=client[f"{provided.prefix}_notifier"],
            vault=client[f"{provided.prefix}_notifier_vault"],
            processes=processes,
            speaker=Speaker(provided),
        )

        def end() -> None:
            del _RIGS[worker_id]
            rig.speaker.stop()
            kill(rig.processes.values())
            rig.relay.stop()

        at_end_of_group(end)
    return _RIGS[worker_id]
