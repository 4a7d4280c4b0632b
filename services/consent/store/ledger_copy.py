"""The ledger's copy: a file of entries in a folder elsewhere, with the signed head and a lock beside it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.ledger import COPY_FILE, HEAD_FILE, Entry, LedgerBroken, from_line, read_copy
from shared.ops.files import replace_file, sync_folder, write_all

_LOCK_FILE: Final = ".lock"
# A folder on another machine may hang. Those who wait for the lock then give up, and alarm.
_LOCK_SECONDS: Final = 10.0
_LOCK_AGAIN_SECONDS: Final = 0.005
# Far more than an entry takes.
_TAIL_BYTES: Final = 64 * 1024


class Disagree(Exception):
    """Ledger, copy and heads don't agree. reason: a fixed word. number: the entry in question, where there is one."""

    def __init__(self, reason: str, number: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.number = number


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The end of the copy. last: its last entry; None of an empty one. rest: what follows, of a line cut short."""

    last: Entry | None
    rest: bytes

    @property
    def number(self) -> int:
        return 0 if self.last is None else self.last.number


class LedgerCopy:
    """The copy in one folder, which must exist. Every method raises OSError; those that read it raise Disagree."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / COPY_FILE
        self.head_file = folder / HEAD_FILE

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one, of all processes of this machine, who compares and appends. Raises TimeoutError."""
        descriptor = os.open(self.folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def exists(self) -> bool:
        return self.file.exists()

    def create(self) -> None:
        """Make an empty copy, before the first entry: from then on a file that is missing was removed."""
        os.close(os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        sync_folder(self.folder)

    def entries(self) -> Iterator[Entry]:
        """All entries, in order. Raises Disagree where the file is missing or can't be read as entries."""
        with self._read():
            yield from read_copy(self.folder)

    def tail(self) -> Tail:
        """The last entry, and what a crash left after it. Raises Disagree as `entries`."""
        with self._read():
            with self.file.open("rb") as file:
                start = max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES)
                file.seek(start)
                content = file.read()
            whole, rest = content[: content.rfind(b"\n") + 1], content[content.rfind(b"\n") + 1 :]
            begin = whole.rfind(b"\n", 0, -1) + 1
            if start > 0 and begin == 0:
                raise LedgerBroken("unreadable")
            return Tail(last=from_line(whole[begin:]) if whole else None, rest=rest)

    @contextmanager
    def _read(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise Disagree("copy_missing" if self.folder.is_dir() else "copy_away") from error
        except LedgerBroken as error:
            raise Disagree("copy_unreadable", error.number) from error

    def add(self, entry: Entry, *, instead_of: bytes = b"") -> None:
        """Append an entry, and wait for the disk. instead_of: the rest of a line cut short, which it replaces."""
        descriptor = os.open(self.file, os.O_WRONLY | os.O_CLOEXEC)
        try:
            end = os.fstat(descriptor).st_size - len(instead_of)
            os.ftruncate(descriptor, end)
            os.lseek(descriptor, end, os.SEEK_SET)
            write_all(descriptor, entry.line)
        finally:
            os.close(descriptor)

    def put_back(self, entries: Iterable[Entry], *, aside: str) -> None:
        """Write the whole copy anew. The file until now is kept under its name with `aside` appended."""
        if self.exists():
            os.link(self.file, self.file.with_name(f"{COPY_FILE}.{aside}"))
        replace_file(self.file, b"".join(entry.line for entry in entries))
        sync_folder(self.folder)

    def head(self) -> str | None:
        """The signed head that lies beside it; None where there is none. Raises Disagree where it isn't text."""
        return read_text(self.head_file)

    def write_head(self, jws: str) -> None:
        replace_file(self.head_file, jws.encode() + b"\n")


def require_same_end(tail: Tail, last: Entry | None, before: Entry | None) -> None:
    """The copy ends as the chain does, or, after a crash, one entry before it, perhaps with a part of its line.

    Raises Disagree.
    """
    number = 0 if last is None else last.number
    if tail.number > number:
        raise Disagree("rows_missing", tail.number)
    if tail.number < number - 1:
        raise Disagree("copy_short", tail.number + 1)
    missing = last if tail.number < number else None
    if tail.last != (last if missing is None else before):
        raise Disagree("differ", tail.number)
    if not (b"" if missing is None else missing.line).startswith(tail.rest):
        raise Disagree("copy_unreadable", tail.number + 1)


def read_text(path: Path) -> str | None:
    """A small file of ours; None where there is none. Raises OSError, Disagree("head") where it isn't text."""
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise Disagree("head") from error


def _lock(descriptor: int) -> None:
    until = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise TimeoutError from error
            time.sleep(_LOCK_AGAIN_SECONDS)
        else:
            return
