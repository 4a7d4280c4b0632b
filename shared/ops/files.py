"""Files that are on the disk for certain, or gone from it as far as a file system lets a program say so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of it, and wait until the disk has it. Raises OSError."""
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]
    os.fsync(descriptor)


@contextmanager
def opened_folder(folder: Path) -> Iterator[int]:
    """A descriptor of the folder. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names that are in the folder. Raises OSError."""
    with opened_folder(folder) as descriptor:
        os.fsync(descriptor)


def replace_file(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Put a file in the place of the one of that name; a crash leaves the one or the other, whole.

    One process at a time. Raises OSError.
    """
    part = path.with_name(f".{path.name}.part")
    # One that a crash left is written over.
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(descriptor, mode)
        write_all(descriptor, content)
    finally:
        os.close(descriptor)
    os.replace(part, path)


def overwrite_and_remove(path: Path) -> None:
    """Overwrite a file, wait until the disk has that, and remove its name. Raises FileNotFoundError, OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        write_all(descriptor, bytes(os.fstat(descriptor).st_size))
    finally:
        os.close(descriptor)
    # Another process that destroys it too may be quicker.
    with suppress(FileNotFoundError):
        os.unlink(path)
