"""Run one server or service, and stop it and all its child processes when the process that asked for it ends.

Run as `python -I -S keeper.py`; uses the standard library alone. Standard input: one line of JSON,
{command, cwd, env, log, grace_s, stop_signal, remove}, where `remove` lists files to delete when the command has ended.
Then it stays open. Its end, which also follows when the supervisor is killed, asks for an orderly stop. Standard
output: `started <pid>`, then `exited <code>` (128 + n for signal n).

Why a separate process: a server's helpers (RabbitMQ's epmd) detach from it, and a parent-death signal reaches a direct
child only. The keeper is a child subreaper: detached processes become its children, and it stops them too.
"""

import ctypes
import json
import os
import resource
import select
import signal
import sys
import time
from contextlib import suppress
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
#: mongod opens a file for each collection and index, and ends when it may open no more. Debian's limit for a user
#: who didn't raise it is 1,024; this is what MongoDB's own packages ask for.
OPEN_FILES = 64_000
_LIBC = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _say(line: str) -> None:
    """Write a line to the supervisor, unless it has ended."""
    with suppress(BrokenPipeError):
        os.write(1, f"{line}\n".encode())


def _raise_file_limit() -> None:
    """Let this process open `OPEN_FILES` files, or as many as its hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _start(spec: dict[str, Any]) -> int:
    """Start the command in its own session and return its process id."""
    keeper = os.getpid()
    log = os.open(spec["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    pid = os.fork()
    if pid:
        os.close(log)
        return pid
    try:
        os.setsid()
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(125)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        _raise_file_limit()
        os.umask(0o077)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.closerange(3, 1024)
        os.chdir(spec["cwd"])
        os.execvpe(spec["command"][0], spec["command"], spec["env"])  # noqa: S606
    except OSError as error:
        os.write(2, f"could not start {spec['command'][0]}: {error}\n".encode())
    os._exit(127)


def _descendants() -> list[int]:
    """Return the process ids of all descendants of this process."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError, ValueError, IndexError), open(f"/proc/{entry}/stat", "rb") as stat:
                fields = stat.read().rpartition(b")")[2].split()
                if fields[0] != b"Z":
                    children.setdefault(int(fields[1]), []).append(int(entry))
    found: list[int] = []
    queue = [os.getpid()]
    while queue:
        for child in children.get(queue.pop(), []):
            found.append(child)
            queue.append(child)
    return found


def _send(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


class Keeper:
    """Supervises one started command."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.wake, wake_writer = os.pipe()
        os.set_blocking(wake_writer, False)
        signal.set_wakeup_fd(wake_writer)
        self.stop_at: float | None = None
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self.stop())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.code: int | None = None
        self.pid = _start(spec)
        _say(f"started {self.pid}")

    def stop(self) -> None:
        """Send the stop signal; `run` kills the command after `grace_s` seconds."""
        if self.stop_at is None:
            self.stop_at = time.monotonic() + self.spec["grace_s"]
            _send([self.pid], self.spec["stop_signal"])

    def reap(self) -> bool:
        """Collect ended children; return False when no child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.pid:
                code = os.waitstatus_to_exitcode(status)
                self.code = code if code >= 0 else 128 - code

    def run(self) -> int:
        listening = [self.wake, 0]
        while self.code is None:
            wait_s = None if self.stop_at is None else max(0.0, self.stop_at - time.monotonic())
            ready, _, _ = select.select(listening, [], [], wait_s)
            if self.wake in ready:
                os.read(self.wake, 4096)
            if 0 in ready:
                if not os.read(0, 4096):
                    listening.remove(0)
                self.stop()
            self.reap()
            if self.code is None and self.stop_at is not None and time.monotonic() >= self.stop_at:
                _send([self.pid], signal.SIGKILL)
                self.stop_at = time.monotonic() + 1
        self.sweep()
        for path in self.spec["remove"]:
            with suppress(OSError):
                os.unlink(path)
        _say(f"exited {self.code}")
        return self.code

    def sweep(self) -> None:
        """Stop the remaining descendants: SIGTERM for a second, then SIGKILL."""
        number, until = signal.SIGTERM, time.monotonic() + 1
        while self.reap():
            _send(_descendants(), number)
            time.sleep(0.02)
            if time.monotonic() > until:
                number = signal.SIGKILL


def main() -> int:
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return 0
        line += byte
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    return Keeper(json.loads(line)).run()


if __name__ == "__main__":
    sys.exit(main())
