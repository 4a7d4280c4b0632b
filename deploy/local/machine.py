"""Checks of the machine: whether the stack can run on it, and which ports are free."""

from __future__ import annotations

import os
import platform
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from deploy.local.errors import PortTaken, UnsupportedMachine

_MOST_NAMED = 3  # one process usually has all the ports in use, so the first few say enough


def require_supported() -> None:
    """Raise UnsupportedMachine unless this is Linux on x86-64, which the wheels of mongod and weed need."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        raise UnsupportedMachine(
            f"The embedded stack needs Linux on x86-64 and this is {platform.system()} on {platform.machine()}: "
            "use `docker compose up` instead."
        )


def require_free(ports: Iterable[tuple[str, int]]) -> None:
    """Raise PortTaken, which names the ports in use and their owners. ports: (name, port) pairs."""
    taken = []
    for name, port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                taken.append(f"{port} (for {name}) is held by {owner_of(port)}")
    if taken:
        more = f" (and {len(taken) - _MOST_NAMED} more)" if len(taken) > _MOST_NAMED else ""
        raise PortTaken(
            f"Port {'; port '.join(taken[:_MOST_NAMED])}{more}. Stop that process, or set FMN_PORT_BASE to move all "
            "ports of the stack."
        )


def owner_of(port: int) -> str:
    """Return the process that listens on a TCP port, as `process 123 (command)`, or a text that says it is hidden."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        if inodes & _open_files(entry):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            command = " ".join(word.decode(errors="replace") for word in words if word)
            return f"process {entry.name} ({command[:80]})"
    return "a process of another user"


def _open_files(process: Path) -> set[str]:
    """Return the targets of a process's open files; empty for another user's process and for one that has ended."""
    found: set[str] = set()
    with suppress(OSError):
        for link in (process / "fd").iterdir():
            with suppress(OSError):
                found.add(os.readlink(link))
    return found


def free_port() -> int:
    """Return a port that is free at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Return whether the loopback port can be bound at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def listens(port: int) -> bool:
    """Return whether a process accepts connections on the loopback port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5):
            return True
    except OSError:
        return False
