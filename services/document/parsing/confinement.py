"""What a process takes from itself before it opens a stranger's file. Nothing gives it back.

Linux limits (setrlimit(2)), no new privileges, no core dump, and a filter on system calls (seccomp(2), through
libseccomp): a call that isn't on the list kills the process. Opening by a path fails instead of killing, since
libraries look for fonts and settings and do without.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import resource
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyseccomp  # type: ignore[import-untyped]

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_CLONE_THREAD: Final = 0x10000

#: Memory, time, what is open already, and one's own signals and end.
_ALLOWED: Final = (
    "read", "readv", "pread64", "preadv", "lseek", "write", "close", "fstat",
    "brk", "munmap", "mremap", "madvise", "futex", "set_robust_list", "rseq",
    "sched_yield", "sched_getaffinity", "getrandom",
    "clock_gettime", "clock_getres", "gettimeofday", "time", "getpid", "gettid", "getrusage", "sysinfo", "uname",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "exit", "exit_group",
)  # fmt: skip
#: What libraries try and do without. tgkill: abort(3) then ends the process by another signal.
_DENIED: Final = {
    errno.EACCES: (
        "open", "openat", "openat2", "stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2",
        "readlink", "readlinkat", "getcwd", "getdents64",
    ),
    errno.ENOSYS: ("clone3",),
    errno.EPERM: ("tgkill", "ioctl", "prctl", "prlimit64", "fcntl", "sched_setaffinity"),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one child may use: memory (bytes, beside what its libraries map) and processor time (seconds)."""

    memory_bytes: int
    cpu_seconds: int


class Confinement:
    """The limits and the filter, made ready once; `enter` puts the process that calls it under them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._filter = _filter()
        self._most_address_space = _address_space() + limits.memory_bytes

    def die_with_parent(self) -> None:
        """Be killed when the parent ends. The caller looks whether it has ended before."""
        self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def keep_memory_private(self) -> None:
        """From other processes of the same user, here and in what is forked from here: a child gets a key."""
        self._prctl(_PR_SET_DUMPABLE, 0)

    def enter(self, descriptors: int) -> None:
        """For good; `descriptors` numbers from 0 stay open and no more can be opened. Raises OSError."""
        seconds = self._limits.cpu_seconds
        for which, soft, hard in (
            (resource.RLIMIT_AS, self._most_address_space, self._most_address_space),
            # SIGXCPU ends it at the soft limit, which tells this end from others.
            (resource.RLIMIT_CPU, seconds, seconds + 2),
            (resource.RLIMIT_FSIZE, 0, 0),
            (resource.RLIMIT_CORE, 0, 0),
            (resource.RLIMIT_MEMLOCK, 0, 0),
            (resource.RLIMIT_NOFILE, descriptors, descriptors),
        ):
            resource.setrlimit(which, (soft, hard))
        self._filter.load()  # sets PR_SET_NO_NEW_PRIVS too

    def _prctl(self, option: int, value: int) -> None:
        if self._libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


def _address_space() -> int:
    """Bytes that this process has mapped."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * mmap.PAGESIZE


def _filter() -> Any:
    """The filter for this machine's kind of processor; names that it doesn't have are left out."""
    made = pyseccomp.SyscallFilter(pyseccomp.KILL_PROCESS)
    for name in _ALLOWED:
        with suppress(OSError):
            made.add_rule(pyseccomp.ALLOW, name)
    # Memory that can be written is never run.
    for name in ("mmap", "mprotect"):
        made.add_rule(pyseccomp.ALLOW, name, pyseccomp.Arg(2, pyseccomp.MASKED_EQ, mmap.PROT_EXEC, 0))
    # The decoder of HEIC works in a thread, under the same filter and limits. A process of its own kills it.
    made.add_rule(pyseccomp.ALLOW, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD))
    for number, names in _DENIED.items():
        for name in names:
            with suppress(OSError):
                made.add_rule(pyseccomp.ERRNO(number), name)
    return made
