"""One child's life: take the job, close everything else, give up what it may do, read the file, tell, end."""

from __future__ import annotations

import fcntl
import io
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, cast

from services.document.parsing import wire
from services.document.parsing.confinement import Confinement
from services.document.parsing.errors import REFUSALS
from services.document.parsing.source import Source

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from services.document.parsing.jobs import Job

# 0 to 2 are /dev/null from the fork server on.
_FILE, _RESULT, _OUTPUT = 3, 4, 5
_MOST_DESCRIPTORS = 256  # as the fork server limits itself
_FAULT = 70  # the exit code of a child whose own code failed; its result says where


class _Output(io.RawIOBase):
    """Where a job writes what it makes: a pipe, which takes more as fast as the other side reads."""

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            done += os.write(_OUTPUT, view[done:])
        return done


def work(connection: socket.socket, jobs: Mapping[str, Job], confinement: Confinement) -> NoReturn:
    """Do the job that comes over the connection, and end the process. To be called right after the fork."""
    code = _FAULT
    try:
        message, descriptors, _, _ = socket.recv_fds(connection, wire.MOST_BYTES, 3)
        if not message:
            os._exit(0)  # the one who asked has gone
        keep_only(descriptors)
        asked = wire.unpacked(message)
        source = Source(_FILE, bytes.fromhex(asked["key"]), asked["size"])
        confinement.enter(_FILE + len(descriptors))
        code = _do(jobs[asked["job"]], source, asked["arguments"])
    except MemoryError:
        code = wire.OUT_OF_MEMORY
    finally:
        os._exit(code)


def keep_only(descriptors: list[int]) -> None:
    """Move these to the numbers from _FILE on, and close whatever else is open from there."""
    high = [fcntl.fcntl(number, fcntl.F_DUPFD, 64) for number in descriptors]
    for place, number in enumerate(high, _FILE):
        os.dup2(number, place)
    os.closerange(_FILE + len(descriptors), _MOST_DESCRIPTORS)


def _do(job: Job, source: Source, arguments: Mapping[str, Any]) -> int:
    try:
        said: dict[str, Any] = {"done": job(source, arguments, cast(BinaryIO, _Output()))}
        code = 0
    except MemoryError:
        return wire.OUT_OF_MEMORY
    except Exception as error:  # noqa: BLE001 - what isn't a refusal is told by its place, never by its text
        said = {"refused": error.refusal} if isinstance(error, REFUSALS) else {"fault": _where(error)}
        code = 0 if "refused" in said else _FAULT
    with suppress(OSError):
        os.close(_OUTPUT)
    with suppress(BrokenPipeError):
        os.write(_RESULT, wire.packed(said) + wire.END)
    return code


def _where(error: BaseException) -> dict[str, Any]:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = "" if trace is None else str(trace.tb_frame.f_globals.get("__name__", ""))
    return {"module": module, "line": 0 if trace is None else trace.tb_lineno}
