"""The office as the story's client: the four services over HTTP with tokens, and nothing but what API.md says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from deploy.ops.token import mint

_TIMEOUT_S = 60
_TOKEN_LIFE = timedelta(hours=1)


class Failed(Exception):
    """A step didn't hold: what was expected, what came instead, and which services' logs may say why."""

    def __init__(self, expected: str, happened: str, *services: str) -> None:
        super().__init__(happened)
        self.expected = expected
        self.happened = happened
        self.services = services


class Caller:
    """Somebody at the office, with a token of their own."""

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
        # No proxy and no netrc of the machine's: either could take the token elsewhere, or replace it.
        self._session.trust_env = False
        token = mint(issuer_key, list(roles), subject, datetime.now(UTC), _TOKEN_LIFE)
        self._session.headers["Authorization"] = f"Bearer {token}"

    def ask(self, method: str, service: str, path: str, **more: Any) -> requests.Response:
        """One call, whatever the answer. Raises Failed when there is none."""
        try:
            return self._session.request(method, f"{self._urls[service]}/v1{path}", timeout=_TIMEOUT_S, **more)
        except requests.RequestException as error:
            # The error's own words name the address alone, but may one day name more.
            raise Failed(f"an answer to {method} {_pattern(path)}", type(error).__name__, service) from error

    def get(self, service: str, path: str, **query: str) -> dict[str, Any]:
        """The body of a GET. Raises Failed for any answer but 200."""
        return self._body(self.ask("GET", service, path, params=query), 200, service)

    def post(self, service: str, path: str, body: Any, *, status: int = 201) -> dict[str, Any]:
        """POST JSON, and the answer's body. Raises Failed for another status."""
        return self._body(self.ask("POST", service, path, json=body), status, service)

    def upload(self, path: str, name: str, content: bytes, fields: Mapping[str, str]) -> dict[str, Any]:
        """File a document by multipart."""
        answer = self.ask("POST", "document", path, data=dict(fields), files={"file": (name, content)})
        return self._body(answer, 201, "document")

    def refused(self, service: str, method: str, path: str, status: int, problem: str, **more: Any) -> dict[str, Any]:
        """The problem that a call is refused with. Raises Failed when it isn't."""
        answer = self.ask(method, service, path, **more)
        said = _json(answer)
        if answer.status_code != status or said.get("type") != f"urn:fmn:problem:{problem}":
            expected = f"{status} {problem} on {method} {_pattern(path)}"
            raise Failed(expected, _words(answer), service)
        return said

    def keys(self) -> dict[str, Any]:
        """The public keys that anyone may have."""
        try:
            answer = self._session.get(f"{self._urls['consent']}/.well-known/jwks.json", timeout=_TIMEOUT_S)
        except requests.RequestException as error:
            raise Failed("the public keys", type(error).__name__, "consent") from error
        return self._body(answer, 200, "consent")

    def _body(self, answer: requests.Response, status: int, service: str) -> dict[str, Any]:
        if answer.status_code != status:
            path = answer.request.path_url.partition("?")[0]
            raise Failed(f"{status} on {answer.request.method} {_pattern(path)}", _words(answer), service)
        return _json(answer)


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _words(answer: requests.Response) -> str:
    said = _json(answer)
    errors = f" {json.dumps(said['errors'])}" if said.get("errors") else ""
    return f"{answer.status_code} {said.get('detail') or said.get('title') or answer.reason}{errors}"


def _pattern(path: str) -> str:
    """A path with its ids left out, which would only hide what it is."""
    return "/".join("…" if len(part) > 30 else part for part in path.split("/"))
