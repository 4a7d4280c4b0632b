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
