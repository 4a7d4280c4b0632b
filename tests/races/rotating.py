"""`python -m tests.races.rotating URL NAMES ROOTS`: rotations that die at a numbered call to the world outside.

Reads lines `number` or `number case` from its input. For each, a child of it seals that case of the case service anew,
rotates the service's key tree until nothing is doomed, and kills itself before its n-th call to the file system or to
MongoDB. Answers each with `killed` or `done` and the number of calls. The children are forked from a process that has
imported everything and connected to nothing.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pymongo import monitoring

from shared.db.keys import roots
from shared.db.unit_of_work import connect
from shared.ops import files
from tests.races.case_stores import open_case_service

_CALLS = ("open", "write", "fsync", "link", "unlink", "close")
_NOT_OURS = {"hello", "isMaster", "ping", "saslStart", "saslContinue", "endSessions"}


class Countdown(monitoring.CommandListener):
    """Kills the process before its n-th call; 0 never."""

    def __init__(self, at: int) -> None:
        self.at, self.calls = at, 0

    def count(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def act(*args: Any, **kwargs: Any) -> Any:
            self.count()
            return call(*args, **kwargs)

        return act

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name not in _NOT_OURS:
            self.count()

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...
    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


class _Os:
    """The os module as `roots` and `files` see it, with its calls counted."""

    def __init__(self, countdown: Countdown) -> None:
        for name in _CALLS:
            setattr(self, name, countdown.counted(getattr(os, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def rotate(url: str, names: str, places: str, at: int, case_id: str | None) -> int:
    """Seal the case anew, if there is one, and rotate until nothing is doomed; how many calls that took."""
    countdown = Countdown(at)
    monitoring.register(countdown)
    opened = open_case_service(connect(url), names, [Path(place) for place in places.split(",")])
    countdown.calls = 0
    roots.os = files.os = _Os(countdown)  # type: ignore[attr-defined, assignment]
    if case_id is not None:
        opened.seal_anew(case_id)
    opened.rotate()
    return countdown.calls


def main() -> None:
    url, names, places = sys.argv[1:]
    for line in sys.stdin:
        number, _, case_id = line.strip().partition(" ")
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            # What it logs is no answer.
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
            os.write(writer, str(rotate(url, names, places, int(number), case_id or None)).encode())
            os._exit(0)
        os.close(writer)
        calls = os.read(reader, 20).decode()
        os.close(reader)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print("killed" if killed else f"done {calls}" if status == 0 else "failed", flush=True)


if __name__ == "__main__":
    main()
