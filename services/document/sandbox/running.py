"""One job of a child process, from the hand-over to its end."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from services.document import parsing
from services.document.parsing import wire
from services.document.parsing.errors import Reason, Unreadable, refusal_of
from services.document.sandbox.errors import CallerGone, Interrupted
from services.document.sandbox.server import ForkServer
from services.document.upload.spool import Spool
from shared.ops.logs import log

_END_SECONDS = 5.0  # until a killed child is reported gone; then the fork server itself is taken for hung
_PARSING = Path(parsing.__file__).parent
_OURS = {f"{parsing.__name__}.{file.stem}" for file in _PARSING.glob("*.py")}
_MOST_LINES = 1_000


class Running:
    """A job in a child's hands. Read its output to the end, if it has one, then `finish`; `close` in every case.

    wall_seconds: how long it may be waited for, all together. While its output isn't being read no time goes by.
    caller: a connection's descriptor; the child is killed once that has hung up.
    """

    def __init__(
        self,
        server: ForkServer,
        *,
        job: str,
        arguments: Mapping[str, Any],
        spool: Spool,
        with_output: bool,
        wall_seconds: float,
        caller: int | None,
    ) -> None:
        self._server = server
        self._left_seconds = wall_seconds
        self._caller = caller
        self._has_told = False
        self._done: Mapping[str, Any] | None = None
        self._exit: int | None = None
        self._cpu_seconds = 0.0
        self._result = self._output = -1
        self._child = server.new_child()
        try:
            self._hand_over(job, arguments, spool, with_output)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._child.pid

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes of output, b"" once it is whole. Raises as `finish`."""
        if self._output < 0:
            return b""
        self._wait_for(self._output)
        if data := os.read(self._output, size):
            return data
        self._output = _closed(self._output)
        self.finish()  # what a child wrote that then failed isn't whole
        return b""

    def finish(self) -> Mapping[str, Any]:
        """What the job gave back. Raises its refusal (one of `parsing.errors`), Interrupted, CallerGone."""
        if self._done is None:
            self._done = self._settle()
        return self._done

    def close(self) -> None:
        """Have the child ended and gone. One that has told its result is killed too, and not waited for."""
        if self._has_told:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._child.pidfd, signal.SIGKILL)
        elif self._exit is None:
            self._kill()
        for number in (self._result, self._output):
            if number >= 0:
                os.close(number)
        self._result = self._output = -1
        os.close(self._child.pidfd)
        self._child.connection.close()

    def _hand_over(self, job: str, arguments: Mapping[str, Any], spool: Spool, with_output: bool) -> None:
        given = [spool.read_only()]
        try:
            self._result, its = os.pipe()
            given.append(its)
            if with_output:
                self._output, its = os.pipe()
                given.append(its)
            asked = {"job": job, "key": spool.key.hex(), "size": spool.size, "arguments": dict(arguments)}
            try:
                socket.send_fds(self._child.connection, [wire.packed(asked)], given)
            except OSError:  # neither the fork server nor a child has the other end any more
                raise Interrupted from None
        finally:
            for number in given:
                os.close(number)

    def _settle(self) -> Mapping[str, Any]:
        """Read the result to its end, or, where it has none, wait for the child's, and tell what that means."""
        data = b""
        while len(data) <= wire.MOST_RESULT:
            self._wait_for(self._result)
            piece = os.read(self._result, wire.MOST_BYTES)
            data += piece
            if data.endswith(wire.END):
                self._has_told = True
                return self._meaning(data)
            if not piece:
                break
        while self._exit is None:
            self._wait_for(None)
        return self._judgement(data)

    def _meaning(self, data: bytes) -> Mapping[str, Any]:
        with suppress(ValueError, KeyError, TypeError):
            said = wire.unpacked(data)
            if "refused" in said:
                raise refusal_of(said["refused"])
            done = said["done"]
            if isinstance(done, dict):
                return done
        log.error("sandbox.fault", **_fault(data))
        raise Interrupted

    def _judgement(self, data: bytes) -> Mapping[str, Any]:
        """What it means that the child ended so, without a whole result."""
        if self._exit in (wire.OUT_OF_MEMORY, -signal.SIGXCPU):
            raise Unreadable(Reason.TOO_MUCH)
        if self._exit == -signal.SIGKILL:  # from outside: the system had no memory, or an operator ended it
            log.warning("sandbox.killed")
            raise Interrupted
        if self._exit is not None and self._exit < 0:
            log.warning("sandbox.crashed", count=-self._exit)
            raise Unreadable(Reason.BROKEN)
        log.error("sandbox.fault", **_fault(data))
        raise Interrupted

    def _wait_for(self, wanted: int | None) -> None:
        """Until `wanted` can be read, or, where it is None, something was heard of the child.

        Raises CallerGone; once the time is up Unreadable if the child used it, else Interrupted.
        """
        while True:
            poll = select.poll()
            if self._exit is None:
                poll.register(self._child.connection, select.POLLIN)
            if wanted is not None:
                poll.register(wanted, select.POLLIN)
            if self._caller is not None:
                poll.register(self._caller, select.POLLRDHUP)
            began = time.monotonic()
            ready = {number for number, _ in poll.poll(max(0.0, self._left_seconds) * 1000)}
            self._left_seconds -= time.monotonic() - began
            if self._exit is None and self._child.connection.fileno() in ready:
                self._hear()
            if wanted in ready or (wanted is None and ready - {self._caller}):
                return
            if self._caller in ready:
                self._kill()
                raise CallerGone
            if not ready:
                self._kill()
                self._judge_time()

    def _judge_time(self) -> None:
        """The time is up: is it the file that takes so long, or did the child get no time?"""
        log.warning("sandbox.time-up", ms=round(self._cpu_seconds * 1000))
        if self._cpu_seconds >= self._server.cpu_seconds / 2:
            raise Unreadable(Reason.TOO_MUCH)
        raise Interrupted

    def _hear(self) -> None:
        """Take the one message about the child's end. Raises Interrupted when the fork server has ended."""
        message = b""
        with suppress(ConnectionError):
            message = self._child.connection.recv(wire.MOST_BYTES)
        if not message:
            self._exit = -signal.SIGKILL
            raise Interrupted
        said = wire.unpacked(message)
        self._exit, self._cpu_seconds = said["exit"], said["cpu_ms"] / 1000

    def _kill(self) -> None:
        """Kill the child and wait until it is gone. A fork server that is silent is ended, with its children."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._child.pidfd, signal.SIGKILL)
        poll = select.poll()
        poll.register(self._child.connection, select.POLLIN)
        if poll.poll(_END_SECONDS * 1000):
            with suppress(Interrupted):
                self._hear()
            return
        log.error("sandbox.server-hung")
        self._server.restart(self._child)
        self._exit = -signal.SIGKILL


def _closed(descriptor: int) -> int:
    os.close(descriptor)
    return -1


def _fault(data: bytes) -> dict[str, Any]:
    """Where our own code failed in a child, as far as that says nothing of a file: it comes from its reader."""
    with suppress(ValueError, TypeError):
        fault = wire.unpacked(data).get("fault")
        if isinstance(fault, dict):
            module, line = fault.get("module"), fault.get("line")
            if module in _OURS and type(line) is int and 0 <= line <= _MOST_LINES:
                return {"module": module, "line": line}
    return {}
