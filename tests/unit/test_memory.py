"""A service's process leaves no core dump and is closed to debuggers of its own user: as the kernel says, for any user.

Only the process itself can ask the kernel whether it is dumpable, so each check runs in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from deploy.local.places import PROJECT

_ASK = """
import ctypes, resource
PR_GET_DUMPABLE = 3
print(ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE))
"""


def said(script: str) -> list[str]:
    """What each line of a script's output says: dumpable, and the soft and hard limit of a core dump."""
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_process_that_keeps_its_memory_private_is_not_dumpable_and_neither_is_what_it_forks() -> None:
    fork = "import os, sys\nsys.stdout.flush()\nif os.fork():\n    os.wait()\nelse:\n"
    forked = fork + "\n".join(f"    {line}" for line in _ASK.strip().splitlines())
    keep = "from shared.ops.memory import keep_memory_private\nkeep_memory_private()\n"
    assert said(_ASK)[0].split()[0] == "1"
    assert said(keep + _ASK + forked) == ["0 0 0", "0 0 0"]


_WORKER = """
from shared.service.runtime import open_runtime
try:
    open_runtime("case", "worker")
except Exception:
    pass  # there are no settings here: what is asked is whether the memory was closed before they are read
"""
_GUNICORN = """
from gunicorn.config import Config
from shared.ops.logs import GunicornLogger
GunicornLogger(Config())
"""


@pytest.mark.parametrize("start", [_WORKER, _GUNICORN], ids=["worker", "gunicorn"])
def test_every_process_of_a_service_begins_with_that(start: str) -> None:
    assert said(start + _ASK)[-1] == "0 0 0"
