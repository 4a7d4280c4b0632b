"""The demo's HTTP client of the four services, with an office user's token; it uses the public API only."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from deploy.ops.token import mint

_TIMEOUT_S = 60
_TOKEN_LIFE = timedelta(hours=1)
_POLL_S = 0.2


class Failed(Exception):
    """A step failed: what was expected, what happened, and the services whose logs may say why."""

    def __init__(self, expected: str, happened: str, *services: str) -> None:
        super().__init__(happened)
        self.expected = expected
        self.happened = happened
        self.services = services


def until(check: Callable[[], bool], *, within_s: float, expected: str, services: Iterable[str] = ()) -> None:
    """Poll until `check` returns true. Raises Failed after `within_s` seconds."""
    deadline = time.monotonic() + within_s
    pause = threading.Event()
    while not check():
        if time.monotonic() > deadline:
            raise Failed(expected, f"not within {within_s:.0f} s", *services)
        pause.wait(_POLL_S)


class Client:
    """One office user, with their own token."""

    def __init__(
        self,
        urls: Mapping[str, str],
        issuer_key: Path,
        subject: str,
        *roles: str,
        authority: Path | None = None,
    ) -> None:
        self._urls = urls
        self._session = requests.Session()
        if authority:
            self._session.verify = str(authority)
        # The machine's proxy settings or netrc could redirect or replace the token.
        self._session.trust_env = False
        token = mint(issuer_key, list(roles), subject, datetime.now(UTC), _TOKEN_LIFE)
        self._session.headers["Authorization"] = f"Bearer {token}"

    def request(self, method: str, service: str, path: str, **more: Any) -> requests.Response:
        """Send a request and return the response, of any status. Raises Failed without a response."""
        try:
            return self._session.request(method, f"{self._urls[service]}/v1{path}", timeout=_TIMEOUT_S, **more)
        except requests.RequestException as error:
            # Only the type: a future version's text could contain more than the address.
            raise Failed(f"a response to {method} {_pattern(path)}", type(error).__name__, service) from error

    def get(self, service: str, path: str, **query: str) -> dict[str, Any]:
        """Return the body of a GET. Raises Failed for any status but 200."""
        return self._body(self.request("GET", service, path, params=query), 200, service)

    def post(self, service: str, path: str, body: Any, *, status: int = 201) -> dict[str, Any]:
        """POST JSON and return the response's body. Raises Failed for another status."""
        return self._body(self.request("POST", service, path, json=body), status, service)

    def upload(self, path: str, name: str, content: bytes, fields: Mapping[str, str]) -> dict[str, Any]:
        """Upload a document as multipart/form-data."""
        answer = self.request("POST", "document", path, data=dict(fields), files={"file": (name, content)})
        return self._body(answer, 201, "document")

    def expect_refusal(
        self, service: str, method: str, path: str, status: int, problem: str, **more: Any
    ) -> dict[str, Any]:
        """Send a request that must be refused; return the problem. Raises Failed for another response."""
        answer = self.request(method, service, path, **more)
        body = _json(answer)
        if answer.status_code != status or body.get("type") != f"urn:fmn:problem:{problem}":
            raise Failed(f"{status} {problem} on {method} {_pattern(path)}", _described(answer), service)
        return body

    def public_keys(self) -> dict[str, Any]:
        """Return the published keys (JWKS)."""
        try:
            answer = self._session.get(f"{self._urls['consent']}/.well-known/jwks.json", timeout=_TIMEOUT_S)
        except requests.RequestException as error:
            raise Failed("the public keys", type(error).__name__, "consent") from error
        return self._body(answer, 200, "consent")

    def _body(self, answer: requests.Response, status: int, service: str) -> dict[str, Any]:
        if answer.status_code != status:
            path = answer.request.path_url.partition("?")[0]
            raise Failed(f"{status} on {answer.request.method} {_pattern(path)}", _described(answer), service)
        return _json(answer)


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _described(answer: requests.Response) -> str:
    body = _json(answer)
    errors = f" {json.dumps(body['errors'])}" if body.get("errors") else ""
    return f"{answer.status_code} {body.get('detail') or body.get('title') or answer.reason}{errors}"


def _pattern(path: str) -> str:
    """Return a path with its ids shortened, to make it readable."""
    return "/".join("…" if len(part) > 30 else part for part in path.split("/"))
