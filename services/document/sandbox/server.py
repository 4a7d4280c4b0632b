"""The fork server's handle: starts it, learns how it confines its children, and starts it anew when it has ended."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.document.parsing import wire
from services.document.sandbox.errors import Interrupted, NotConfined
from shared.ops.logs import log

_ROOT = Path(__file__).parents[3]  # what `services` is imported from
# -I: neither the environment nor the working folder says what is imported.
_START = "import sys; sys.path.append(sys.argv[1]); from services.document.parsing.server import main; main()"
_START_SECONDS = 30.0
_FORK_SECONDS = 10.0
_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Started:
    """One fork server: its process, our end of its socket, and what it said of itself."""

    process: subprocess.Popen[bytes]
    control: socket.socket

    def end(self) -> None:
        self.control.close()
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A child that waits for its job: our end of the connection to it, and its pidfd, both the caller's to close."""

    connection: socket.socket
    pid: int
    pidfd: int
    server: _Started


class ForkServer:
    """The one fork server of a process. May be used by several threads.

    One child is always forked ahead, and waits for a job: most files needn't wait for a fork.
    """

    def __init__(self, *, jobs: str, memory_bytes: int, cpu_seconds: int) -> None:
        """jobs: the module whose JOBS it does."""
        self.cpu_seconds = cpu_seconds
        self._arguments = [jobs, str(memory_bytes), str(cpu_seconds)]
        self._guard = threading.Lock()
        self._started: _Started | None = None
        self._confinement: str | None = None
        self._ahead: socket.socket | None = None

    def start(self) -> None:
        """Start it if it isn't there, without waiting until it has loaded its libraries."""
        with self._guard:
            self._there()

    def confinement(self) -> str:
        """How its children are confined. Raises NotConfined."""
        with self._guard:
            started = self._there()
            confinement = self._ready(started)
            self._ahead = self._ahead or _ask(started)
            return confinement

    def new_child(self) -> Child:
        """Have a child forked. Raises Interrupted, NotConfined."""
        with self._guard:
            for _ in range(_TRIES):
                started = self._there()
                self._ready(started)
                connection = self._ahead or _ask(started)
                self._ahead = None
                said, descriptors = _message(connection, _FORK_SECONDS)
                if descriptors and not _is_readable(connection, 0):  # else it has ended while it waited
                    self._ahead = _ask(started)
                    return Child(pid=said["pid"], pidfd=descriptors[0], connection=connection, server=started)
                connection.close()
                for number in descriptors:
                    os.close(number)
                if "failed" in said:  # there is no process or no memory to be had
                    break
                if not said:  # it has ended, or hangs
                    self._end()
        raise Interrupted

    def restart(self, hung: Child) -> None:
        """End this child's fork server, whatever it does; its children are killed with it. A new one is started."""
        with self._guard:
            if self._started is hung.server:
                self._end()
            self._there()

    def close(self) -> None:
        with self._guard:
            self._end()

    def _there(self) -> _Started:
        if self._started is not None and self._started.process.poll() is not None:
            log.warning("sandbox.server-ended", count=abs(self._started.process.returncode))
            self._end()
        if self._started is None:
            self._started = self._spawn()
        return self._started

    def _spawn(self) -> _Started:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            number = its.fileno()
            process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-I", "-c", _START, str(_ROOT), str(number), *self._arguments],
                env={},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # a library's words about a file may quote it
                pass_fds=(number,),
            )
        return _Started(process=process, control=ours)

    def _ready(self, started: _Started) -> str:
        """Wait until it has said how it confines. One that can't is ended, and tried anew the next time."""
        if self._confinement is None:
            said, _ = _message(started.control, _START_SECONDS)
            if said.get("confinement") != wire.SECCOMP:
                self._end()
                reason = said.get("failed", "silent")
                log.error("sandbox.not-confined", reason=reason)
                raise NotConfined(str(reason))
            self._confinement = wire.SECCOMP
        return self._confinement

    def _end(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
        self._ahead = None
        if self._started is not None:
            self._started.end()
        self._started = self._confinement = None


def _ask(started: _Started) -> socket.socket:
    """Have a child forked, without waiting for it: the connection on which it will be told."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its, suppress(OSError):  # where the fork server has just ended, the connection ends too
        socket.send_fds(started.control, [b"fork"], [its.fileno()])
    return ours


def _is_readable(connection: socket.socket, seconds: float) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _message(connection: socket.socket, seconds: float) -> tuple[dict[str, Any], list[int]]:
    """The next message, and the descriptor that came with it; an empty one when none comes in time, or ever."""
    if _is_readable(connection, seconds):
        with suppress(OSError, ValueError):
            message, descriptors, _, _ = socket.recv_fds(connection, wire.MOST_BYTES, 1)
            return wire.unpacked(message), descriptors
    return {}, []
