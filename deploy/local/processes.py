"""Processes of the embedded stack, each started by its own keeper (keeper.py)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from deploy.local.errors import StackError
from deploy.local.places import Places, write_private

MARK = "FMN_STACK"
_KEEPER = Path(__file__).with_name("keeper.py")
_READY_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run: command, working folder and environment.

    ready: returns whether the program works, not merely exists. grace_s: the seconds that an orderly stop may take
    before a kill. remove: files that it leaves outside our folders. pid_file: tells other processes whether it runs.
    ready_file: a file that the program creates; one of an earlier run is deleted first.
    """

    name: str
    command: Sequence[str]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], bool]
    ready_within_s: float = 60
    grace_s: float = 8
    stop_signal: int = signal.SIGTERM
    remove: Sequence[str] = ()
    pid_file: Path | None = None
    ready_file: Path | None = None


class Process:
    """One started program. `pid` is the program's, not its keeper's."""

    def __init__(self, program: Program, places: Places) -> None:
        self.program = program
        self.name = program.name
        self.log = places.logs / f"{program.name}.log"
        self.pid = 0
        self.exit_code: int | None = None
        self._places = places
        self._ended = threading.Event()
        self._keeper: subprocess.Popen[str] | None = None

    @property
    def running(self) -> bool:
        return self._keeper is not None and not self._ended.is_set()

    def start(self) -> None:
        """Start the program; `wait_ready` waits until it works. Raises StackError."""
        if self.running:
            return
        base = {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "HOME": str(self._places.run),
            "LANG": "C.UTF-8",
            "TMPDIR": str(self._places.temp),
            "PYTHONUNBUFFERED": "1",
            MARK: str(self._places.root),
        }
        spec = {
            "command": list(self.program.command),
            "cwd": str(self.program.cwd),
            "env": base | dict(self.program.env),
            "log": str(self.log),
            "grace_s": self.program.grace_s,
            "stop_signal": int(self.program.stop_signal),
            "remove": list(self.program.remove),
        }
        if self.program.ready_file:
            self.program.ready_file.unlink(missing_ok=True)
        self.exit_code = None
        self._ended = threading.Event()
        keeper = self._keeper = subprocess.Popen(  # noqa: S603 (our own script and interpreter)
            [sys.executable, "-I", "-S", str(_KEEPER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={MARK: str(self._places.root)},
            text=True,
            start_new_session=True,
        )
        to_keeper, from_keeper = _pipes(keeper)
        to_keeper.write(json.dumps(spec) + "\n")
        to_keeper.flush()
        started = from_keeper.readline().split()
        if len(started) != 2 or started[0] != "started":
            raise StackError(f"{self.name} could not be started; see {self.log}.")
        self.pid = int(started[1])
        if self.program.pid_file:
            write_private(self.program.pid_file, f"{self.pid} {_started_at(self.pid)}")
        threading.Thread(target=self._listen, args=(keeper, self._ended), daemon=True).start()

    def _listen(self, keeper: subprocess.Popen[str], ended: threading.Event) -> None:
        for line in _pipes(keeper)[1]:
            word, _, rest = line.partition(" ")
            if word == "exited":
                self.exit_code = int(rest)
        keeper.wait()
        if self.program.pid_file:
            self.program.pid_file.unlink(missing_ok=True)
        ended.set()

    def wait_ready(self) -> None:
        """Wait until the program works. Raises StackError when it ends first or takes too long."""
        deadline = time.monotonic() + self.program.ready_within_s
        while not self.program.ready():
            if not self.running:
                raise StackError(f"{self.name} ended while starting (code {self.exit_code}). {self._log_end()}")
            if time.monotonic() > deadline:
                within = f"{self.program.ready_within_s:.0f} s"
                raise StackError(f"{self.name} was not ready within {within}. {self._log_end()}")
            self._ended.wait(_READY_POLL_S)

    def _log_end(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-5:] if self.log.exists() else []
        shown = "\n  ".join(lines)
        return f"The end of {self.log}:\n  {shown}"

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the program; after SIGKILL, wait until it and its helpers have ended."""
        if self.running:
            os.kill(self.pid, number)
            if number == signal.SIGKILL:
                self.wait_ended(5)

    def request_stop(self) -> None:
        if self.running and self._keeper is not None and self._keeper.stdin is not None:
            try:
                self._keeper.stdin.close()
            except BrokenPipeError:
                return

    def wait_ended(self, within_s: float) -> bool:
        return self._keeper is None or self._ended.wait(within_s)

    def stop(self) -> None:
        """Stop the program in an orderly way and wait until it and its helpers have ended."""
        self.request_stop()
        if not self.wait_ended(self.program.grace_s + 4) and self._keeper is not None:
            self._keeper.kill()  # the program dies with its keeper (parent-death signal)
            self._ended.wait(2)

    def restart(self) -> None:
        """Stop the program if it runs, start it and wait until it works."""
        self.stop()
        self.start()
        self.wait_ready()


def stop_all(processes: Iterable[Process]) -> None:
    """Stop all processes at the same time and wait for them."""
    processes = list(processes)
    for process in processes:
        process.request_stop()
    for process in processes:
        process.stop()


def _pipes(keeper: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    if keeper.stdin is None or keeper.stdout is None:
        raise StackError("A keeper was started without pipes.")
    return keeper.stdin, keeper.stdout


def running_pid(pid_file: Path) -> int | None:
    """Return the process id in a pid file, or None when that process has ended, even if its id was reused."""
    try:
        pid, started = map(int, pid_file.read_text().split())
    except (OSError, ValueError):
        return None
    return pid if started and _started_at(pid) == started else None


def _started_at(pid: int) -> int:
    """Return when the process started, in the kernel's ticks; 0 when there is none."""
    return _stat_field(pid, 19)


def _stat_field(pid: int, number: int) -> int:
    """Return a field of /proc/PID/stat, counted from the one after the command; 0 when there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[number])
    except OSError:
        return 0


def leftovers(root: Path) -> list[int]:
    """Return the ids of processes of the stack at `root`, without this process and its ancestors.

    They are recognised by the environment variable MARK, which every child gets, so a reused process id is never
    mistaken for one of them. A service's environment can't be read by its own user (shared/ops/memory.py): it is
    recognised by its parent.
    """
    wanted = f"{MARK}={root}".encode()
    own = set()
    pid = os.getpid()
    while pid > 1:
        own.add(pid)
        pid = _stat_field(pid, 1)  # the parent
    found: list[int] = []
    closed: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in own:
            try:
                variables = (entry / "environ").read_bytes().split(b"\0")
            except PermissionError:
                closed.append(int(entry.name))
                continue
            except OSError:
                continue  # one that has ended
            if wanted in variables:
                found.append(int(entry.name))
    while children := [pid for pid in closed if pid not in found and _stat_field(pid, 1) in found]:
        found += children
    return found


def stop_leftovers(root: Path, within_s: float = 8) -> int:
    """Stop the processes that a crashed run of the stack at `root` left; return how many there were."""
    first = leftovers(root)
    deadline = time.monotonic() + within_s
    number = signal.SIGTERM
    while left := leftovers(root):
        for pid in left:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            number = signal.SIGKILL
        if time.monotonic() > deadline + 5:
            raise StackError(f"Processes of an earlier run can't be stopped: {', '.join(map(str, left))}.")
        time.sleep(0.1)
    return len(first)
