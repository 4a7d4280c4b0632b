"""The case service's two real processes on names of their own, a consent service's voice, and a way to look inside."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from deploy.local import mongo
from deploy.local.broker import Management
from deploy.local.processes import Process
from deploy.local.provision import Provision
from deploy.local.stack import Stack
from shared.clock import utc_now
from shared.events import EventType, consent
from shared.events import case as events
from shared.ids import new_id
from shared.security.authentication import local_token, service_token
from shared.security.signing import Signer
from tests.helpers import Speaker, at_end_of_group, eventually, grant_for, kill

Answer = requests.Response

MOTHER: Mapping[str, Any] = {
    "role": "parent",
    "given_name": "Zoë",
    "family_name": "O’Łukasińska-Brännström",
    "date_of_birth": "1984-02-29",
    "address": ["Flat 2", "14 Sorrel Mews", "Marlow", "SL7 1AB"],
    "email": "zoe.łukasińska@exämple.org",
    "phone": "07700 900 482",
    "parental_responsibility": True,
    "preferred_channel": "letter",
    "formats": ["large_print"],
}


_RIGS: dict[int, Rig] = {}


@dataclass(kw_only=True)
class Rig:
    """One set of names with the case service on it. `ask` is a caseworker unless told otherwise."""

    provided: Provision
    processes: Mapping[str, Process]
    database: Any
    management: Management
    speaker: Speaker
    _heard: list[dict[str, Any]] = field(default_factory=list)

    # Asking

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        role: str = "caseworker",
        match: str | None = None,
        key: str | None = None,
        raw: bytes | None = None,
        token: str | None = None,
    ) -> Answer:
        headers = {"Authorization": f"Bearer {token or self.token(role)}"}
        if match is not None:
            headers["If-Match"] = match
        if key is not None:
            headers["Idempotency-Key"] = key
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        return requests.request(
            method, f"{self.provided.urls['case']}/v1{path}", data=data, headers=headers, timeout=30
        )

    def token(self, role: str, *, sub: str | None = None) -> str:
        if role.startswith("service:"):
            name = role.partition(":")[2]
            signer = Signer(json.loads((self.provided.secrets[name] / "token.jwk").read_text()))
            return service_token(signer, caller=name, called="case", now=utc_now())
        signer = Signer(json.loads(self.provided.issuer_key.read_text()))
        return local_token(signer, sub=sub or f"a.{role}", roles=[role], now=utc_now(), life=timedelta(hours=1))

    # Given

    def a_shell(self) -> dict[str, Any]:
        answer = self.ask("POST", "/cases", {"channel": "phone"})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def a_case(self) -> str:
        """An open case."""
        case_id = str(self.a_shell()["id"])
        self.consent_given(case_id)
        return case_id

    def a_person(self, case_id: str, **more: Any) -> Answer:
        answer = self.ask("POST", f"/cases/{case_id}/people", {**MOTHER, **more})
        assert answer.status_code == 201, answer.text
        return answer

    def consent_given(self, case_id: str, **more: Any) -> None:
        """Casework is agreed to, and the case service has heard of it."""
        given = new_id()
        self.say(consent.GIVEN, case_id, consent=given, standing=[{"consent": given, "purpose": "casework", **more}])
        eventually(lambda: self.ask("GET", f"/cases/{case_id}").json()["state"] != "shell")

    def say(self, event_type: EventType, case_id: str, **data: Any) -> None:
        """What the consent service's account says of a case."""
        self.speaker.say(event_type, case_id, **data)

    def grant(self, case_id: str) -> dict[str, str]:
        """What the consent service hands over with a shell that may end."""
        return grant_for(self.provided, events.ENDED, case_id, {})

    def erased(self, case_id: str) -> None:
        """An erasure has begun, and the case service has answered it."""
        request = new_id()
        data = {"request": request, "attempt": 1, "due_at": utc_now().isoformat(), "participants": ["case"]}
        self.say(consent.STARTED, case_id, **data)
        eventually(lambda: bool(self.told("erasure.receipt", case_id)))

    # Then

    def told(self, name: str, case_id: str) -> list[dict[str, Any]]:
        """The data of events of that name about the case, oldest first, as the consent service's queue got them."""
        path = f"/api/queues/{quote(self.provided.prefix)}/fmn.consent/get"
        body = {"count": 1000, "ackmode": "ack_requeue_false", "encoding": "base64"}
        self._heard += [
            json.loads(base64.b64decode(message["payload"])) for message in self.management.call("POST", path, body)
        ]
        mine = [e for e in self._heard if e["data"]["case"] == case_id and e["type"].startswith(f"{name}.v")]
        return [event["data"] for event in sorted(mine, key=lambda event: event["seq"])]

    def rows(self, collection: str, case_id: str, *, vault: bool = False) -> list[dict[str, Any]]:
        name = f"{self.provided.prefix}_case" + ("_vault" if vault else "")
        return list(self.database[name][collection].find({"case_id": case_id}))

    def everything_stored(self) -> bytes:
        """Every document of both databases as bytes."""
        from bson import encode

        return b"".join(
            encode(document)
            for name in (f"{self.provided.prefix}_case", f"{self.provided.prefix}_case_vault")
            for collection in self.database[name].list_collection_names()
            for document in self.database[name][collection].find()
        )


def rig_on(stack: Stack, worker_id: str) -> Rig:
    """The one rig of this test process; its services end with the group of tests that shares them."""
    if id(stack) not in _RIGS:
        provided = stack.provision(f"case{worker_id}")
        rig = _RIGS[id(stack)] = Rig(
            provided=provided,
            processes=stack.start_services(provided, only=["case", "consent-api"]),
            database=mongo.admin_client(stack.places, stack.ports),
            management=Management.of(stack.places, stack.ports),
            speaker=Speaker(provided),
        )

        def end() -> None:
            del _RIGS[id(stack)]
            rig.speaker.stop()
            kill(rig.processes.values())

        at_end_of_group(end)
    return _RIGS[id(stack)]


def logs_of(rig: Rig) -> str:
    return "".join(Path(process.log).read_text() for process in rig.processes.values())
