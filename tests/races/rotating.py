"""`python -m tests.races.rotating URL NAMES SERVICE ROOTS`: rotations that die at a numbered call to the world outside.

Reads numbers from its input, one a line: a child rotates the service's key tree until nothing is doomed, and kills
itself before its n-th call to the file system or to MongoDB. Answers each with `killed` or `done` and the number of
calls. The children are forked from a process that has imported everything and connected to nothing.
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
from shared.db.keys.rotation import Rotation
from shared.db.unit_of_work import UnitOfWork, connect
from shared.ops import files

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


def rotate(url: str, names: str, service: str, places: str, at: int) -> int:
    """Rotate until nothing is doomed; how many calls that took."""
    countdown = Countdown(at)
    monitoring.register(countdown)
    client = connect(url)
    folders = roots.Folders([Path(place) for place in places.split(",")])
    unit_of_work = UnitOfWork(client, names=names, service=service, roots=folders)
    vault = unit_of_work.vault
    vault.start()
    countdown.calls = 0
    roots.os = files.os = _Os(countdown)  # type: ignore[attr-defined, assignment]
    while (rotated := Rotation(vault).run()) is not None:
        for row in rotated.doomed:
            gone = {"gone_at": rotated.destroyed_at, "generation": rotated.generation}
            vault.doomed.update_one({"_id": row["_id"], "at": row["at"]}, {"$set": gone})
    return countdown.calls


def main() -> None:
    url, names, service, places = sys.argv[1:]
    for line in sys.stdin:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, str(rotate(url, names, service, places, int(line))).encode())
            os._exit(0)
        os.close(writer)
        calls = os.read(reader, 20).decode()
        os.close(reader)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print("killed" if killed else f"done {calls}" if status == 0 else "failed", flush=True)


if __name__ == "__main__":
    main()
