"""The four services as a test sees them: over HTTP, as callers of every role, and killed at will."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any
from unittest.mock import patch

import requests

from deploy.local.processes import Process
from deploy.local.provision import Provision
from deploy.local.stack import Stack
from shared.security.signing import Signer
from shared.service.service import Opened, Service
from tests import samples
from tests.described import Described
from tests.helpers import eventually, kill, start

_TRIES_AGAIN = 2
_OWNERS = {
    "cases": "case",
    "disclosures": "case",
    "documents": "document",
    "paper-files": "document",
    "notifications": "notifier",
    "templates": "notifier",
    "consent-pack": "notifier",
}


def open_service(name: str, process: str) -> Opened[Any]:
    """The service as its own process would open it, with the settings of this one's environment."""
    service: Service[Any] = import_module(f"services.{name}.main").service
    return service.open(process)


def open_with(provided: Provision, name: str, process: str) -> Opened[Any]:
    """The service as its own process would open it, with the settings that this set of names gives it."""
    with patch.dict(os.environ, provided.env[name]):
        return open_service(name, process)


class Caller:
    """Someone with a token, calling the service that owns a path."""

    def __init__(self, system: System, token: str) -> None:
        self._system = system
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {token}"

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        answer = self._session.request(method, self._system.url(path), timeout=30, **more)
        if not more.get("stream", False):
            self._system.described.check(answer)
        return answer

    def get(self, path: str, **query: Any) -> requests.Response:
        return self.call("GET", path, params=query)

    def post(self, path: str, body: Any = None, **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.call("POST", path, json={} if body is None else body, headers=named)

    def made(self, path: str, body: Any = None) -> dict[str, Any]:
        """POST something that must be made, and its body. Who is told to try again shortly does, as every client."""
        answer = self._again(lambda: self.post(path, body))
        assert answer.status_code in (201, 202), (answer.status_code, answer.text)
        assert answer.status_code == 202 or (answer.headers["Location"] and answer.headers["ETag"])
        return dict(answer.json())

    def read(self, path: str, **query: Any) -> dict[str, Any]:
        """GET something that is there, and its body. Who is told to try again shortly does, as every client."""
        answer = self._again(lambda: self.get(path, **query))
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return dict(answer.json())

    def _again(self, ask: Callable[[], requests.Response]) -> requests.Response:
        """The answer; on a busy machine a service that says it is slow, and has kept nothing, is asked again."""
        answer = ask()
        for _ in range(_TRIES_AGAIN):
            if answer.status_code != 503:
                break
            time.sleep(float(answer.headers["Retry-After"]))
            answer = ask()
        return answer


class System:
    """Callers by role, and builders that tell the story's beginning."""

    def __init__(self, stack: Stack, provided: Provision) -> None:
        self.stack = stack
        self.provided = provided
        self.described = Described(provided.urls)
        self._issuer = json.loads(provided.issuer_key.read_text())
        self.caseworker = self.caller("caseworker", sub="worker-one")
        self.colleague = self.caller("caseworker", sub="worker-two")
        self.manager = self.caller("manager", sub="manager-one")
        self.auditor = self.caller("auditor", sub="auditor-one")
        self.lead = self.caller("safeguarding_lead", sub="lead-one")
        self.data_protection = self.caller("data_protection", sub="dpo-one")

    def url(self, path: str) -> str:
        """The address of `/v1/...` at its owner; `case:/livez` names the owner itself."""
        named, _, rest = path.partition(":")
        if named in self.provided.urls:
            return self.provided.urls[named] + rest
        parts = path.strip("/").split("/")
        if parts[0] == "audit":
            return f"{self.provided.urls[parts[1]]}/v1{path}"
        owner = _OWNERS.get(parts[0], "consent")
        if parts[0] == "cases" and len(parts) > 2 and parts[2] in ("documents", "paper-files"):
            owner = "document"
        return f"{self.provided.urls[owner]}/v1{path}"

    def token(self, *roles: str, sub: str = "someone", **claims: Any) -> str:
        now = datetime.now(UTC)
        said = {
            "iss": "urn:fmn:local",
            "aud": "forgetmenot",
            "sub": sub,
            "roles": list(roles),
            "iat": now,
            "exp": now + timedelta(hours=1),
            **claims,
        }
        plain = {k: int(v.timestamp()) if isinstance(v, datetime) else v for k, v in said.items()}
        return Signer(self._issuer).sign(plain, typ="JWT")

    def caller(self, *roles: str, sub: str = "someone", **claims: Any) -> Caller:
        return Caller(self, self.token(*roles, sub=sub, **claims))

    def with_token(self, token: str) -> Caller:
        return Caller(self, token)

    def process(self, name: str) -> Process:
        """A running process of this system, not of another on the same servers, by its short name: `case-worker`."""
        services = self.stack.services
        own = services.get(f"{self.provided.prefix}-{name}")
        return own or next(p for n, p in services.items() if n.endswith(name))

    @contextmanager
    def away(self, *names: str) -> Iterator[None]:
        """These processes (`case-api`) are killed, and don't run meanwhile."""
        processes = [self.process(name) for name in names]
        kill(processes)
        try:
            yield
        finally:
            start(processes)

    # Builders

    def a_shell(self) -> str:
        return str(self.caseworker.made("/cases", {"channel": "phone"})["id"])

    def a_consent(self, case_id: str, *purposes: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        statement = self.caseworker.read("/statement")
        now = datetime.now(UTC)
        body = {
            "case_id": case_id,
            "decision": "given",
            "given_by": {"name": "Żaneta Okonkwo-Łukasik", "capacity": "parental_responsibility"},
            "channel": "phone",
            "informed_at": (now - timedelta(minutes=5)).isoformat(),
            "given_at": now.isoformat(),
            "statement_version": statement["version"],
            "purposes": list(purposes) or [{"purpose": "casework"}],
            **more,
        }
        return self.caseworker.made("/consents", body)

    def an_open_case(self, *purposes: Mapping[str, Any]) -> str:
        """A case whose family has agreed to it, open in the case service and known to the others."""
        case_id = self.a_shell()
        self.a_consent(case_id, *purposes)
        eventually(lambda: self.caseworker.read(f"/cases/{case_id}")["state"] == "open")
        return case_id

    def a_person(self, case_id: str, **more: Any) -> dict[str, Any]:
        body = {
            "role": "parent",
            "given_name": "Żaneta",
            "family_name": "Okonkwo-Łukasik",
            "address": ["14 Dolphin Terrace", "Marlow Vale", "SW1A 1AA"],
            "email": "zaneta.okonkwo@family.example",
            "phone": "07700 900123",
            **more,
        }
        return self.caseworker.made(f"/cases/{case_id}/people", {k: v for k, v in body.items() if v is not None})

    def a_scan(self, case_id: str, content: bytes | None = None, **fields: str) -> requests.Response:
        content = samples.pdf_scan() if content is None else content
        data = {"kind": "ehc_plan", "source": "family", **fields}
        files = {"file": ("scan.pdf", content, "application/pdf")}
        return self.caseworker.call("POST", f"/cases/{case_id}/documents", data=data, files=files)

    def an_erasure(self, case_id: str, **more: Any) -> dict[str, Any]:
        body = {
            "kind": "erasure",
            "case_id": case_id,
            "received_at": datetime.now(UTC).isoformat(),
            "channel": "phone",
            "made_by": {"name": "Żaneta Okonkwo-Łukasik", "authority": "parental_responsibility"},
            **more,
        }
        return self.caseworker.made("/requests", body)

    def confirm(self, request_id: str) -> None:
        checked = ["family", "authority", "safeguarding"]
        answer = self.colleague.post(f"/requests/{request_id}/confirmation", {"checked": checked})
        assert answer.status_code == 200, answer.text

    def waits_on(self, request_id: str) -> list[str]:
        return list(self.caseworker.read(f"/requests/{request_id}")["waiting_on"])

    def is_completed(self, request_id: str) -> bool:
        return bool(self.caseworker.read(f"/requests/{request_id}")["status"] == "completed")
