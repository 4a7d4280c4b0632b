"""The machine that a benchmark ran on, in plain words: without its name, its address or its owner."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path


def described() -> str:
    """Such as `2 cores (AMD EPYC 7B13), 25 GB of memory, Linux 6.1, Python 3.11.2`."""
    processor = _first(r"^model name\s*:\s*(.+)$", "/proc/cpuinfo") or platform.machine()
    memory = int(_first(r"^MemTotal:\s+(\d+) kB$", "/proc/meminfo") or 0) * 1024 / 1e9
    kernel = ".".join(platform.release().split(".")[:2])
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores ({' '.join(processor.split())}), {memory:.0f} GB of memory, Linux {kernel}, "
        f"Python {platform.python_version()}"
    )


def _first(pattern: str, path: str) -> str:
    found = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    return found[1] if found else ""
