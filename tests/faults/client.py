"""A good client: it keeps its Idempotency-Key and asks again whenever it doesn't know what became of its request."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import requests

from shared.ids import new_id
from tests.helpers import eventually
from tests.system import System

T = TypeVar("T")
_PATIENCE_SECONDS = 150.0
_ANSWER_SECONDS = 15.0
_LOOK_SECONDS = 0.25


@dataclass(slots=True, kw_only=True)
class Call:
    """One request until it was answered for good: what was asked, and every answer on the way."""

    at: float
    what: str
    sub: str
    answers: list[str] = field(default_factory=list)
    status: int = 0
    made: str | None = None
    ended: float = 0.0

    def line(self, zero: float) -> str:
        way = f" ({', '.join(self.answers[:-1])})" if len(self.answers) > 1 else ""
        return f"{self.at - zero:7.1f}-{self.ended - zero:.1f} s {self.what} -> {self.status}{way}"


class StoryFailed(AssertionError):
    """Something was refused that should have been taken, or never answered."""


class Client:
    """One person at one screen. Not for several threads at once."""

    def __init__(self, system: System, *roles: str, sub: str) -> None:
        self._system = system
        self.sub = sub
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {system.token(*roles, sub=sub)}"

    def call(
        self, calls: list[Call], method: str, path: str, *, wait_out: tuple[str, ...] = (), **more: Any
    ) -> requests.Response:
        """Ask until there is a 2xx answer. wait_out: problems that pass once services have heard of each other.

        Raises StoryFailed for any other refusal, and when patience is over.
        """
        asked = Call(at=time.monotonic(), what=f"{method} {path}", sub=self.sub)
        calls.append(asked)
        headers = {"Idempotency-Key": new_id()} if method == "POST" else {}
        deadline = asked.at + _PATIENCE_SECONDS
        while True:
            answer = self._once(asked, method, path, headers, more)
            asked.ended = time.monotonic()
            if answer is not None and answer.ok:
                asked.status = answer.status_code
                if method == "POST" and answer.headers.get("Content-Type", "").startswith("application/json"):
                    asked.made = answer.json().get("id")
                return answer
            if answer is not None and not _may_pass(answer, wait_out):
                raise StoryFailed(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
            if asked.ended > deadline:
                raise StoryFailed(f"{method} {path}: not answered in {_PATIENCE_SECONDS:.0f} s: {asked.answers[-5:]}")
            time.sleep(0.2 if answer is None or answer.status_code != 503 else 0.5)

    def _once(
        self, asked: Call, method: str, path: str, headers: dict[str, str], more: dict[str, Any]
    ) -> requests.Response | None:
        url = self._system.url(path)
        try:
            answer = self._session.request(method, url, headers=headers, timeout=_ANSWER_SECONDS, **more)
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            asked.answers.append(type(error).__name__)
            return None
        asked.answers.append(_named(answer))
        return answer

    def get(self, calls: list[Call], path: str, **query: Any) -> dict[str, Any]:
        """Read, without a line in the history: it is asked over and over."""
        aside: list[Call] = []
        try:
            return dict(self.call(aside, "GET", path, params=query).json())
        except StoryFailed:
            calls += aside
            raise

    def made(self, calls: list[Call], path: str, body: Any, *, wait_out: tuple[str, ...] = ()) -> str:
        """POST something that must be made; its id."""
        return str(self.call(calls, "POST", path, json=body, wait_out=wait_out).json()["id"])


def _named(answer: requests.Response) -> str:
    if answer.ok:
        return str(answer.status_code)
    return f"{answer.status_code} {_problem(answer)}"


def _problem(answer: requests.Response) -> str:
    try:
        return str(answer.json()["type"]).rpartition(":")[2]
    except (ValueError, KeyError, TypeError):
        return "no problem document"


def _may_pass(answer: requests.Response, wait_out: tuple[str, ...]) -> bool:
    if answer.status_code in (503, 429):
        return True
    problem = _problem(answer)
    # Its own earlier try, which nobody answered, still has the key, or had it taken over.
    own = problem == "conflict" and "Idempotency-Key" in answer.text
    return own or problem in wait_out


def until(check: Callable[[], T], what: str, *, within_seconds: float = _PATIENCE_SECONDS) -> T:
    """What `check` answers once it is true. Raises StoryFailed."""
    try:
        return eventually(check, within_seconds=within_seconds, look_every=_LOOK_SECONDS, what=what)
    except AssertionError as error:
        raise StoryFailed(str(error)) from error
