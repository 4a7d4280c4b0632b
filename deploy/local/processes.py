"""Processes of the embedded stack, each behind a keeper of its own (keeper.py)."""

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
    """What to run: command, working folder, environment, and when it counts as ready.

    `ready` answers True when the process does its work, not merely when it exists; `grace_s` is how long an orderly
    stop may take before it is killed; `remove` are files it leaves outside our folders; `pid_file` lets others see
    whether it runs; `ready_file` is one that the program itself makes, and that an earlier run may have left.
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
    """One started program. `pid` is the program's own, not its keeper's."""

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
        """Start it; `wait_ready` says when it works."""
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
        """Wait until the program does its work; raise StackError when it ends first or takes too long."""
        deadline = time.monotonic() + self.program.ready_within_s
        while not self.program.ready():
            if not self.running:
                raise StackError(f"{self.name} ended while starting (code {self.exit_code}). {self._last_words()}")
            if time.monotonic() > deadline:
                raise StackError(
                    f"{self.name} was not ready within {self.program.ready_within_s:.0f} s. {self._last_words()}"
                )
            self._ended.wait(_READY_POLL_S)

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-5:] if self.log.exists() else []
        shown = "\n  ".join(lines)
        return f"The end of {self.log}:\n  {shown}"

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the program and, where it kills, wait until it and its helpers are gone."""
        if self.running:
            os.kill(self.pid, number)
            if number == signal.SIGKILL:
                self.wait_ended(5)

    def ask_to_stop(self) -> None:
        if self.running and self._keeper is not None and self._keeper.stdin is not None:
            try:
                self._keeper.stdin.close()
            except BrokenPipeError:
                return

    def wait_ended(self, within_s: float) -> bool:
        return self._keeper is None or self._ended.wait(within_s)

    def stop(self) -> None:
        """Stop it in an orderly way and wait until nothing of it is left."""
        self.ask_to_stop()
        if not self.wait_ended(self.program.grace_s + 4) and self._keeper is not None:
            self._keeper.kill()  # the program dies with its keeper (parent-death signal)
            self._ended.wait(2)

    def restart(self) -> None:
        """Stop it where it runs, start it again and wait until it works."""
        self.stop()
        self.start()
        self.wait_ready()


def stop_all(processes: Iterable[Process]) -> None:
    """Ask all to stop, then wait for each."""
    processes = list(processes)
    for process in processes:
        process.ask_to_stop()
    for process in processes:
        process.stop()


def _pipes(keeper: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    if keeper.stdin is None or keeper.stdout is None:
        raise StackError("A keeper was started without its pipes.")
    return keeper.stdin, keeper.stdout


def recorded(pid_file: Path) -> int | None:
    """The process a pid file tells of, if it still runs; a process id that somebody else has by now isn't it."""
    try:
        pid, started = map(int, pid_file.read_text().split())
    except (OSError, ValueError):
        return None
    return pid if started and _started_at(pid) == started else None


def _started_at(pid: int) -> int:
    """When the process started, in the kernel's ticks; 0 when there is none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except OSError:
        return 0


def leftovers(root: Path) -> list[int]:
    """Process ids that carry the mark of the stack at `root`, this process and its ancestors left out.

    The mark is in the environment each child got from us, so a process id that was given to somebody else's process
    since the crash is never mistaken for ours.
    """
    wanted = f"{MARK}={root}".encode()
    ours = set()
    pid = os.getpid()
    while pid > 1:
        ours.add(pid)
        pid = _parent(pid)
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in ours:
            try:
                marks = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue  # another user's process, or one that ended meanwhile
            if wanted in marks:
                found.append(int(entry.name))
    return found


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


def stop_leftovers(root: Path, within_s: float = 8) -> int:
    """End what a crashed run of the stack at `root` left behind; answers how many processes that were."""
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
            raise StackError(f"Processes of an earlier run don't end: {', '.join(map(str, left))}.")
        time.sleep(0.1)
    return len(first)
