"""The most memory that a process had, as Linux counts it."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

_PEAK_KB = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


def peak_mb(pid: int) -> float:
    """The most resident memory since the process began or `forget_peak`, in MB (10⁶ bytes)."""
    found = _PEAK_KB.search(Path(f"/proc/{pid}/status").read_text())
    if not found:
        raise ProcessLookupError(f"process {pid} has no memory of its own")
    return int(found[1]) * 1024 / 1e6


def forget_peak(pid: int) -> None:
    """Begin the peak of a process anew, from what it has just now.

    Who isn't root may not, since a service keeps its memory private: the peak then is that since the process began.
    """
    with suppress(PermissionError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")
