"""Jobs as a file would do them that took its reader over, for `Sandbox(jobs="tests.hostile_jobs")`.

They run in a real child, under its real limits and filter. What a job tries comes back as the name of its error, or as
`done`; a call that kills the child never comes back.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from services.document.parsing.errors import Reason, Unreadable
from services.document.parsing.source import Source

_LIBC = ctypes.CDLL(None, use_errno=True)
_PTRACE_ATTACH = 16


def _try(attempt: Callable[[], object]) -> dict[str, Any]:
    try:
        attempt()
    except OSError as error:
        return {"said": type(error).__name__}
    return {"said": "done"}


def _returned(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")


def _write(descriptor: int) -> object:
    return os.write(descriptor, b"x")


def _run_own_code() -> object:
    return mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)


def _in_a_thread(attempt: Callable[[], object]) -> None:
    """Do it in a thread, as the decoder of HEIC works, and wait for its end."""
    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()


#: What ends the child: the kernel kills it for the call itself.
FATAL: Mapping[str, Callable[[], object]] = {
    "a socket": socket.socket,
    "a socket in a thread": lambda: _in_a_thread(socket.socket),
    "a pair of sockets": socket.socketpair,
    "another process": os.fork,
    "another program": lambda: os.execv("/bin/true", ["true"]),
    "a signal to its parent": lambda: os.kill(os.getppid(), 0),
    "another's memory": lambda: _returned(_LIBC.ptrace(_PTRACE_ATTACH, 1, 0, 0)),
    "its starter's memory": lambda: _returned(_LIBC.process_vm_readv(1, None, 0, None, 0, 0)),
    "another user": lambda: os.setuid(0),
    "its own namespace": lambda: _returned(_LIBC.unshare(0x10000000)),
    "code of its own": _run_own_code,
    "more than its limits": lambda: os.nice(1),
    "a pipe": os.pipe,
    "an anonymous file": lambda: os.memfd_create("x"),
    "a mount": lambda: _returned(_LIBC.mount(b"x", b"/", b"tmpfs", 0, None)),
    "an end by a name": lambda: os.unlink("/tmp/x"),
}
#: What is refused, and the child goes on.
REFUSED: Mapping[str, Callable[[], object]] = {
    "the password file": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "its own environment": lambda: os.open("/proc/self/environ", os.O_RDONLY),
    "a new file": lambda: os.open("/tmp/of-a-file", os.O_WRONLY | os.O_CREAT),
    "a folder": lambda: os.listdir("/"),
    "whether a file is there": lambda: os.stat("/etc/passwd"),
    "writing to its file": lambda: _write(3),
}


def _spin(source: Source, arguments: Mapping[str, Any], output: BinaryIO) -> Mapping[str, Any]:
    while True:
        pass


def _eat(source: Source, arguments: Mapping[str, Any], output: BinaryIO) -> Mapping[str, Any]:
    kept = []
    while True:
        kept.append(b"x" * 10_000_000)


def _eat_quietly(source: Source, arguments: Mapping[str, Any], output: BinaryIO) -> Mapping[str, Any]:
    """Take as much as there is, and say how much that was."""
    kept = []
    try:
        while True:
            kept.append(bytearray(1_000_000))
    except MemoryError:
        taken = len(kept)
        del kept
        return {"megabytes": taken}


def _hang(source: Source, arguments: Mapping[str, Any], output: BinaryIO) -> Mapping[str, Any]:
    """Wait for a reader that doesn't come, with the whole file in memory."""
    held = source.readall()
    while True:
        output.write(held.ljust(1_000_000))


def _make(source: Source, arguments: Mapping[str, Any], output: BinaryIO) -> Mapping[str, Any]:
    """So many megabytes of output, then end as told."""
    for number in range(arguments["megabytes"]):
        output.write(bytes([number % 256]) * 1_000_000)
    return _ENDS[arguments["end"]]()


def _refuse() -> Mapping[str, Any]:
    raise Unreadable(Reason.LOCKED)


def _fail() -> Mapping[str, Any]:
    raise ValueError("Zoë Featherstonehaugh")


def _answer_and_go_on() -> Mapping[str, Any]:
    os.close(5)
    os.write(4, b'{"done": {"well": true}}\n')
    while True:
        pass


def _abort() -> Mapping[str, Any]:
    os.abort()


def _segfault() -> Mapping[str, Any]:
    ctypes.string_at(0)
    return {}


def _say(data: bytes) -> Callable[[], Mapping[str, Any]]:
    def say() -> Mapping[str, Any]:
        os.close(5)
        os.write(4, data)
        os._exit(0)

    return say


_ENDS: Mapping[str, Callable[[], Mapping[str, Any]]] = {
    "well": lambda: {"well": True},
    "well, and goes on": _answer_and_go_on,
    "refused": _refuse,
    "failed": _fail,
    "aborted": _abort,
    "segfault": _segfault,
    "silent": _say(b""),
    "nonsense": _say(b"\x80\x04K\x01."),
    "half an answer": _say(b'{"done": {}}'),
    "a list": _say(b"[1]\n"),
    "an unknown refusal": _say(b'{"refused": "os.system"}\n'),
    "a list as its answer": _say(b'{"done": [1]}\n'),
    "a deep answer": _say(b'{"done": ' + b"[" * 50_000 + b"\n"),
    "too much": _say(b'{"done": {"x": "' + b"x" * 60_000),
}


def _of(attempt: Callable[[], object]) -> Any:
    return lambda source, arguments, output: _try(attempt)


JOBS = {
    "spin": _spin,
    "eat": _eat,
    "eat quietly": _eat_quietly,
    "hang": _hang,
    "make": _make,
    "a thread": lambda source, arguments, output: {"done": _in_a_thread(lambda: None)},
    "read": lambda source, arguments, output: {"text": source.readall().decode()},
    "inspect": lambda source, arguments, output: {"media_type": "text/html", "pages": -1},
    **{name: _of(attempt) for name, attempt in {**FATAL, **REFUSED}.items()},
}


def warm_up() -> None:
    """What these jobs need later."""
    assert signal.SIGKILL
    assert time.monotonic()
