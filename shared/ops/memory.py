"""What a process has in memory stays there: no core dump, and no other process of the same user reads it.

A service's memory holds opened keys and families' words. Root can read it all the same; so can whoever runs code in the
process itself.
"""

from __future__ import annotations

import ctypes
import os
import resource
from typing import Final

_PR_SET_DUMPABLE: Final = 4


def keep_memory_private() -> None:
    """Leave no core dump, and be closed to ptrace and /proc/PID/mem of the same user; so are processes it forks.

    Must be called again after `exec` and after a change of user, which both undo it. Raises OSError.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    # A kernel.core_pattern that pipes dumps to a program ignores the limit; it heeds this.
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"this process can't be made undumpable: {os.strerror(number)}")
