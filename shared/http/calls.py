"""What services ask of one another over HTTP: a five-minute token, three seconds, one more try where that is safe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import requests

from shared.clock import utc_now
from shared.db.gates import ERASED_SENTENCE, FROZEN_SENTENCE
from shared.db.unit_of_work import traceparent
from shared.errors import Conflict, ConsentRequired, Erased, Frozen, NotFound, Problem, Unavailable
from shared.ops.logs import log, where
from shared.ops.settings import Settings
from shared.security.authentication import service_token
from shared.security.signing import Signer

_TIMEOUT_SECONDS = 3
_AWAY = "Another part of the service is away, so this can't be settled safely. Nothing was kept; try again shortly."
_NOT_THERE = "There is no such thing here."


class ServiceAway(Unavailable):
    """Another service is away or slow: while it is rolled that takes as long as one needs to start."""

    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "10"}


class Calls:
    """One service's way to the others. A session per call: threads share nothing."""

    def __init__(self, settings: Settings, signer: Signer) -> None:
        self._caller = settings.service
        self._urls = settings.service_urls
        self._signer = signer

    def get(self, service: str, path: str, *, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """GET `/v1<path>` of that service.

        Raises NotFound or Erased as it answered, Unavailable for anything else.
        """
        try:
            status, said = self._ask("GET", service, path, query=query)
        except requests.ConnectionError:
            # Most often a kept-alive connection or a service just restarted; asking again changes nothing there.
            status, said = self._last_try("GET", service, path, query=query)
        if _is_success(status, said):
            return dict(said)
        raise _refused_reading(status)

    def post(
        self, service: str, path: str, body: Mapping[str, Any], *, timeout_seconds: float = _TIMEOUT_SECONDS
    ) -> dict[str, Any]:
        """POST JSON to `/v1<path>` of that service, once.

        Raises NotFound, Erased, Frozen, Conflict or ConsentRequired as it answered, Unavailable for anything else.
        """
        status, said = self._last_try("POST", service, path, body=body, timeout_seconds=timeout_seconds)
        if _is_success(status, said):
            return dict(said)
        raise _refused(status, said)

    def _last_try(self, method: str, service: str, path: str, **more: Any) -> tuple[int, Any]:
        try:
            return self._ask(method, service, path, **more)
        except requests.ConnectionError as error:
            log.warning("service-away", server=service, **where(error))
            raise ServiceAway(_AWAY) from error

    def _ask(
        self,
        method: str,
        service: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> tuple[int, Any]:
        """The status and the body of what it answers."""
        token = service_token(self._signer, caller=self._caller, called=service, now=utc_now())
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        if (parent := traceparent.get()) is not None:
            headers["traceparent"] = parent
        try:
            with requests.Session() as session:
                # No proxy and no netrc of the machine's: either could take the token elsewhere, or replace it.
                session.trust_env = False
                answer = session.request(
                    method,
                    f"{self._urls[service]}/v1{path}",
                    params=query,
                    json=body,
                    headers=headers,
                    timeout=timeout_seconds,
                    allow_redirects=False,
                )
                said = answer.json() if answer.content else {}
        except requests.ConnectionError:
            raise
        except (requests.RequestException, ValueError) as error:
            log.warning("service-away", server=service, **where(error))
            raise ServiceAway(_AWAY) from error
        return answer.status_code, said


def _is_success(status: int, said: Any) -> bool:
    return 200 <= status < 300 and isinstance(said, dict)


def _refused_reading(status: int) -> Problem:
    """What another service refused, in our own words: its sentence may be about something else."""
    if status == 404:
        return NotFound(_NOT_THERE)
    if status == 410:
        return Erased(ERASED_SENTENCE)
    log.warning("service-refused", status=status)
    return ServiceAway(_AWAY)


def _refused(status: int, said: Any) -> Problem:
    """As `_refused_reading`, of what was to be changed there."""
    name = str(said.get("type", "")).removeprefix("urn:fmn:problem:") if isinstance(said, dict) else ""
    if status == 423:
        return Frozen(FROZEN_SENTENCE)
    if status == 409 and name == "consent-required":
        return ConsentRequired("The family has not agreed to this. Nothing was done.")
    if status == 409:
        return Conflict("Another part of the service says that this can't be done as things stand.")
    return _refused_reading(status)
