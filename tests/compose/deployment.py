"""A running deployment as its callers and its operator have it, and an office that works in it without pause."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import requests

from deploy.local.places import PROJECT
from deploy.ops.token import mint
from shared.ids import new_id
from tests import samples
from tests.faults.client import until

_AUTHORITY = "/data/caddy/pki/authorities/local/root.crt"
_ANSWER_SECONDS = 75
# Services hear of one another within about a second; what is being rolled takes some more.
_heard = partial(until, within_seconds=60)


@dataclass(kw_only=True)
class Deployment:
    """See the module. `trust` once it is up."""

    folder: Path
    env: Mapping[str, str]
    port: int
    mail_port: int

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    @property
    def authority(self) -> Path:
        return self.folder / "gateway.crt"

    def compose(self, *arguments: str, within_seconds: float = 300, check: bool = True) -> str:
        """What `docker compose …` prints. Raises AssertionError with its complaint when it fails."""
        command = ["docker", "compose", *arguments]
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env=dict(self.env),
            capture_output=True,
            text=True,
            timeout=within_seconds,
            check=False,
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr[-3000:]}"
        return done.stdout

    def trust(self) -> None:
        self.authority.write_text(self.compose("exec", "-T", "gateway", "cat", _AUTHORITY))

    def caller(self, *roles: str, sub: str) -> Caller:
        token = mint(self.secrets / "issuer" / "issuer.jwk", list(roles), sub, datetime.now(UTC))
        return Caller(self, token)


class Caller:
    """One person at one screen, who asks once more when a request wasn't answered or was put off, and then no more."""

    def __init__(self, deployment: Deployment, token: str) -> None:
        self._url = f"{deployment.url}/v1"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(deployment.authority)
        self.session.headers["Authorization"] = f"Bearer {token}"
        self.asked_again: list[str] = []

    def call(self, method: str, path: str, *, but: str = "", **more: Any) -> requests.Response:
        """The answer. Raises AssertionError for anything but 2xx, or the problem `but`, after asking once more."""
        headers = {"Idempotency-Key": new_id()} if method == "POST" else {}
        first = self._once(method, path, headers, more)
        if isinstance(first, requests.Response) and first.status_code != 503:
            return self._good(first, method, path, but)
        wait = first.headers.get("Retry-After") if isinstance(first, requests.Response) else "1"
        self.asked_again.append(f"{method} {path}: {first}")
        time.sleep(float(wait or 1))
        again = self._once(method, path, headers, more)
        assert isinstance(again, requests.Response), f"{method} {path}: {first}, and then {again}"
        return self._good(again, method, path, but)

    def _once(
        self, method: str, path: str, headers: Mapping[str, str], more: Mapping[str, Any]
    ) -> requests.Response | str:
        try:
            return self.session.request(method, self._url + path, headers=headers, timeout=_ANSWER_SECONDS, **more)
        except requests.RequestException as error:
            return type(error).__name__

    @staticmethod
    def _good(answer: requests.Response, method: str, path: str, but: str) -> requests.Response:
        expected = bool(but) and answer.status_code == 409 and answer.json()["type"].endswith(f":{but}")
        assert answer.ok or expected, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        return answer

    def made(self, path: str, body: Any) -> str:
        return str(self.call("POST", path, json=body).json()["id"])

    def items(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = self.call("GET", path, params={"limit": 200, **({"cursor": cursor} if cursor else {})}).json()
            found += page["items"]
            cursor = page["next"]
            if cursor is None:
                return found


@dataclass(kw_only=True)
class Office:
    """So many people who open one family's case after another until they are told to stop; nobody is lost of them."""

    deployment: Deployment
    people: int = 3
    cases: list[str] = field(default_factory=list)
    asked_again: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Office:
        self._pool = ThreadPoolExecutor(self.people)
        self._work = [self._pool.submit(self._one, number) for number in range(self.people)]
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._pool.shutdown()

    def ends(self) -> None:
        """Stop, and raise what went wrong for any of them."""
        self._over.set()
        for done in self._work:
            done.result()

    def until(self, cases: int, within_seconds: float) -> None:
        deadline = time.monotonic() + within_seconds
        while len(self.cases) < cases:
            assert time.monotonic() < deadline, f"{len(self.cases)} of {cases} cases"
            for done in self._work:
                if done.done():
                    done.result()
            time.sleep(0.2)

    def _one(self, number: int) -> None:
        caller = self.deployment.caller("caseworker", sub=f"worker-{number}")
        try:
            while not self._over.is_set():
                self.cases.append(a_family(caller))
        finally:
            self.asked_again += caller.asked_again

    def found(self) -> dict[str, Counter[str]]:
        """How much each case has, once the letter that each is due has gone."""
        caller = self.deployment.caller("caseworker", sub="worker-counting")
        return {case_id: _had(caller, case_id) for case_id in self.cases}


def a_family(caller: Caller) -> str:
    """An open case with one person, one scan, and a letter that follows by itself."""
    case_id = caller.made("/cases", {"channel": "phone"})
    now = datetime.now(UTC).isoformat()
    consent = {
        "case_id": case_id,
        "decision": "given",
        "given_by": {"name": "Żaneta Okonkwo-Łukasik", "capacity": "parental_responsibility"},
        "channel": "phone",
        "informed_at": now,
        "given_at": now,
        "statement_version": caller.call("GET", "/statement").json()["version"],
        "purposes": [{"purpose": "casework"}],
    }
    caller.made("/consents", consent)
    _heard(lambda: caller.call("GET", f"/cases/{case_id}").json()["state"] == "open", f"{case_id} is open")
    person = {
        "role": "parent",
        "given_name": "Żaneta",
        "family_name": "Okonkwo-Łukasik",
        "address": ["14 Dolphin Terrace", "Marlow Vale", "SW1A 1AA"],
    }
    caller.made(f"/cases/{case_id}/people", person)
    _heard(lambda: _filed(caller, case_id), f"{case_id} takes a scan")
    return case_id


def _filed(caller: Caller, case_id: str) -> bool:
    """Whether the scan was taken: the document service hears of the consent a moment later than the others."""
    files = {"file": ("plan.pdf", samples.pdf_scan(), "application/pdf")}
    form = {"kind": "report", "source": "family"}
    answer = caller.call("POST", f"/cases/{case_id}/documents", data=form, files=files, but="consent-required")
    return answer.ok


def _had(caller: Caller, case_id: str) -> Counter[str]:
    def letters() -> list[dict[str, Any]]:
        items = caller.call("GET", "/notifications", params={"case_id": case_id}).json()["items"]
        return items if items and all(one["status"] == "delivered" for one in items) else []

    return Counter(
        people=len(caller.items(f"/cases/{case_id}/people")),
        documents=len(caller.items(f"/cases/{case_id}/documents")),
        letters=len(_heard(letters, f"the letter of {case_id} has gone")),
    )
