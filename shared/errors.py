"""Errors: those that callers see, each with its problem type (RFC 9457), and those that decide what a message becomes.

No sentence repeats what was sent: a person's data must not reach an error text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

CHANGED_SENTENCE = "It was changed after you read it. Nothing was stored. Read it again, then repeat your change."


class Problem(Exception):
    """An answer other than success. `name` ends the URN `urn:fmn:problem:<name>`."""

    name: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong here"
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, detail: str, *, errors: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(self.name)
        self.detail = detail
        self.errors = {field: list(said) for field, said in (errors or {}).items()}


class Internal(Problem):
    """A bug of ours. Its sentence says the number under which it was logged."""


class Invalid(Problem):
    """The request doesn't fit the contract; nothing was stored."""

    name, status, title = "invalid", 400, "The request doesn't fit the contract"


class Unauthorised(Problem):
    name, status, title = "unauthorised", 401, "A valid token is needed"
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": "Bearer"}


class Forbidden(Problem):
    name, status, title = "forbidden", 403, "This role may not do this"


class NotFound(Problem):
    name, status, title = "not-found", 404, "There is no such thing here"


class MethodNotAllowed(Problem):
    name, status, title = "method-not-allowed", 405, "This path doesn't take that method"


class ConsentRequired(Problem):
    name, status, title = "consent-required", 409, "The family has not agreed to this"


class Conflict(Problem):
    name, status, title = "conflict", 409, "This can't be done as things stand"


class Erased(Problem):
    name, status, title = "erased", 410, "This case has been, or is being, erased"


class StartAgain(Problem):
    """What a reader has followed so far was replaced, so it has to read everything anew."""

    name, status, title = "start-again", 410, "This was replaced: start again from the beginning"


class Changed(Problem):
    name, status, title = "changed", 412, "It changed since it was read"


class TooLarge(Problem):
    name, status, title = "too-large", 413, "What was sent is too large"


class UnsupportedMediaType(Problem):
    name, status, title = "unsupported-media-type", 415, "This kind of content isn't taken here"


class UnreadableFile(Problem):
    name, status, title = "unreadable-file", 422, "The file can't be read"


class RangeNotSatisfiable(Problem):
    """No such bytes. size: how many there are, where that is known."""

    name, status, title = "range-not-satisfiable", 416, "There is no such part of it"

    def __init__(self, detail: str, *, size: int | None = None) -> None:
        super().__init__(detail)
        if size is not None:
            self.headers = {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"}  # type: ignore[misc]


class Frozen(Problem):
    name, status, title = "frozen", 423, "This case is frozen while an erasure is asked for"


class PreconditionRequired(Problem):
    name, status, title = "precondition-required", 428, "Say which version you read"


class TooManyRequests(Problem):
    name, status, title = "too-many-requests", 429, "Too many requests"


class Unavailable(Problem):
    """A server is unavailable, and the safe answer is no; nothing was stored."""

    name, status, title = "unavailable", 503, "This can't be done right now"
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "2"}


class Permanent(Exception):
    """A message that can never be handled. It is parked with this reason, a fixed word and never its content."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Temporary(Exception):
    """A message that can't be handled yet. It is deferred and retried."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
