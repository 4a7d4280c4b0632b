"""What is kept of an Idempotency-Key, and one request's hold on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.fields import Count, Field, Id, Optional, Time, one_of
from shared.http.responses import JsonResponse

IN_USE, DONE, FORGOTTEN = "in_use", "done", "forgotten"
CLEAR: Mapping[str, Field] = {
    "at": Time(),
    "state": one_of(IN_USE, DONE, FORGOTTEN),
    "status": Optional(Count()),
    # The claim that holds the key, and until when no other may take it over.
    "claim": Id(),
    "until": Time(),
    "first": Optional(Id()),
    # What the answer shows, where it is one thing.
    "record": Optional(Id()),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key's row. state: in use until `until`; done, with the answer sealed in `personal`; or forgotten."""

    id: str
    case_id: str | None
    version: int = 1
    at: datetime
    state: str
    status: int | None = None
    claim: str
    until: datetime
    # The claim that began it: the same for the request that takes it over.
    first: str | None = None
    record: str | None = None
    personal: Mapping[str, Any] | None = None
    # The name of the key it is sealed under, where that isn't the case's.
    under: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Anew:
    """How a repeat is answered where the first answer isn't kept.

    find: from the record's id and the first status, what the route's `render` takes. key: from what the action gave,
    the name of the key that the body's digest is sealed under; it is destroyed with what the body said.
    """

    find: Callable[[str, int], Any]
    key: Callable[[Any], str]


@dataclass(slots=True, kw_only=True)
class Claim:
    """One request's hold on its key. `token` is None until an upload's body is known.

    first: None unless it was claimed before the act: then the claim that began what this one goes on with; its own,
    unless it took over from a process that died.
    """

    row_id: str
    render: Callable[[Any], JsonResponse]
    anew: Anew | None
    token: str | None = None
    first: str | None = None
    body: str | None = None
    settled: bool = False
    forgotten: bool = False


class KeyTaken(Exception):
    """Another request with the same key was committed meanwhile; this one's transaction is undone."""


class AlreadyMade(Exception):
    """An upload's key turned out to be settled while the body came in: undo, and give the first answer again."""

    def __init__(self, answer: JsonResponse) -> None:
        super().__init__("already made")
        self.answer = answer
