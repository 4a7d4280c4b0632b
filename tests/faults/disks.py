"""Small disks under the servers, which a test fills up and empties again: tmpfs mounts."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# What to run a command with that isn't root's and wants to mount: it is root to itself, and its mounts are its own.
IN_A_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
_FILLER = ".filler"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """One small disk, mounted at `folder`."""

    folder: Path

    @property
    def free(self) -> float:
        """Part of it that is free, 0 to 1."""
        found = os.statvfs(self.folder)
        return found.f_bavail / found.f_blocks

    def fill(self, leave: float) -> None:
        """Take everything but this part of the disk, whatever the server has on it."""
        found = os.statvfs(self.folder)
        take = int((found.f_bavail - leave * found.f_blocks) * found.f_frsize)
        if take <= 0:
            return
        with (self.folder / _FILLER).open("ab") as file:
            os.posix_fallocate(file.fileno(), file.tell(), take)

    def empty(self) -> None:
        """Give back what `fill` took."""
        (self.folder / _FILLER).unlink(missing_ok=True)


@contextmanager
def small_disks(sizes_mb: dict[Path, int]) -> Iterator[dict[Path, Disk]]:
    """Disks of these sizes, mounted at these folders (made where they are missing) and gone afterwards.

    Only for who may mount (see `why_not`).
    """
    mounted: dict[Path, Disk] = {}
    try:
        for folder, size in sizes_mb.items():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            done = _run("mount", "-t", "tmpfs", "-o", f"size={size}m,mode=0700", "tmpfs", str(folder))
            assert done.returncode == 0, done.stderr
            mounted[folder] = Disk(folder=folder)
        yield mounted
    finally:
        for folder in mounted:
            # Lazily: a server that is just ending may still hold a file.
            _run("umount", "-l", str(folder))


def why_not() -> str | None:
    """Why small disks can't be had here, neither by root nor in a namespace of one's own; None where they can."""
    if os.geteuid() == 0:
        with tempfile.TemporaryDirectory() as folder:
            tried = _run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder)
            if tried.returncode == 0:
                _run("umount", folder)
                return None
        return f"root may not mount a tmpfs here ({tried.stderr.strip()})"
    tried = _run(*IN_A_NAMESPACE, "true")
    return None if tried.returncode == 0 else f"this isn't root, and may have no namespace ({tried.stderr.strip()})"


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
