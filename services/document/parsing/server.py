"""The fork server: a process that has every library loaded and no secret, and forks a child for each file.

It is exec'd with an empty environment, /dev/null and one socket. It has one thread, reads no job, and ends when the
process that started it has ended; its children are killed with it.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from services.document.parsing import child, wire
from services.document.parsing.confinement import Confinement, Limits

if TYPE_CHECKING:
    from services.document.parsing.jobs import Job

_TRIAL_SECONDS = 20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # mallopt(3)
_KEPT_BYTES = 1 << 30
_DESCRIPTORS = 256  # three for each child, and those that a child closes


def main() -> None:
    """Arguments: the socket's descriptor, the module of the jobs, memory in bytes, processor time in seconds."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends with its starter, which may still have files in hand
    control = socket.socket(fileno=int(sys.argv[-4]))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))
    try:
        table = importlib.import_module(sys.argv[-3])
        table.warm_up()
        _keep_freed_memory()
        confinement = Confinement(Limits(memory_bytes=int(sys.argv[-2]), cpu_seconds=int(sys.argv[-1])))
        confinement.keep_memory_private()
        confined = _is_confined(confinement)
    except Exception as error:  # noqa: BLE001 - whatever is missing on this machine: it is told, and nothing is read
        control.send(wire.packed({"failed": type(error).__name__}))
        return
    control.send(wire.packed({"confinement": wire.SECCOMP} if confined else {"failed": "filter"}))
    if confined:
        gc.collect()
        gc.freeze()  # so that a child's collections don't copy what it shares with this process
        _Server(control, table.JOBS, confinement).serve()
    os._exit(0)


def _keep_freed_memory() -> None:
    """Have what a child frees serve it again: it lives for one file, and each new page costs a fault.

    Of a scan of 20 MB that took two thirds of the time. Does nothing without glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


class _Server:
    def __init__(self, control: socket.socket, jobs: Mapping[str, Job], confinement: Confinement) -> None:
        self._control = control
        self._jobs = jobs
        self._confinement = confinement
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._children: dict[int, tuple[int, socket.socket]] = {}  # by pidfd: pid and connection

    def serve(self) -> None:
        """Until the starter ends."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor in self._children:
                    self._reap(descriptor)
                    continue
                message, descriptors, _, _ = socket.recv_fds(self._control, 16, 1)
                if not message:
                    return
                self._fork(socket.socket(fileno=descriptors[0]))

    def _fork(self, connection: socket.socket) -> None:
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError:  # no process or no memory to be had
            with suppress(OSError), connection:
                connection.send(wire.packed({"failed": "fork"}))
            return
        if pid == 0:
            try:
                self._confinement.die_with_parent()
                if os.getppid() == server:
                    child.work(connection, self._jobs, self._confinement)
            finally:
                os._exit(1)
        pidfd = os.pidfd_open(pid)
        self._children[pidfd] = pid, connection
        self._poll.register(pidfd, select.POLLIN)
        with suppress(OSError):
            socket.send_fds(connection, [wire.packed({"pid": pid})], [pidfd])

    def _reap(self, pidfd: int) -> None:
        pid, connection = self._children.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _, status, usage = os.wait4(pid, 0)
        said: dict[str, Any] = {
            "exit": os.waitstatus_to_exitcode(status),
            "cpu_ms": round((usage.ru_utime + usage.ru_stime) * 1000),
        }
        with suppress(OSError), connection:  # the other side may have gone
            connection.send(wire.packed(said))


def _is_confined(confinement: Confinement) -> bool:
    """Whether a child that has entered it is killed for asking for a socket, as it should be."""
    pid = os.fork()
    if pid == 0:
        try:
            confinement.enter(16)
            socket.socket()
        finally:
            os._exit(0)
    deadline = time.monotonic() + _TRIAL_SECONDS
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == -signal.SIGSYS
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False
