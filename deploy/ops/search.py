"""The raw search: look for a person's words, in all encoded forms, in the files of a stack.

It reads files, and deleted files that are still open, byte by byte. It asks no server, so its result depends on none.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from deploy.local.places import Places
from deploy.local.processes import leftovers
from deploy.ops.finder import Finder, Needle

# How much of the temp folders is searched; the rest is reported as not searched.
_TEMP_BYTES = 2 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Hit:
    """Where a needle was found; never the words themselves."""

    place: str
    label: str
    form: str
    offset: int = field(compare=False)


@dataclass(slots=True, kw_only=True)
class Found:
    """What a search has read and found, and what it left out. left_out: paths by reason."""

    hits: set[Hit] = field(default_factory=set)
    files: int = 0
    size: int = 0
    left_out: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def not_searched(self) -> list[str]:
        """Return what was left out, one line per reason."""
        return [
            f"{paths[0]}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}: {reason}"
            for reason, paths in self.left_out.items()
        ]


class Search:
    """One search of one stack.

    since: when the words were created (seconds since 1970); a file in a temp folder that is older can't contain them
    and isn't read. skip: files to leave out, such as the source of the words.
    """

    def __init__(
        self, wanted: Iterable[Needle], places: Places, *, since: float = 0.0, skip: Iterable[Path] = ()
    ) -> None:
        self.finder = Finder(wanted)
        self.places = places
        self.since = since
        self.found = Found()
        self._skip = {path.resolve() for path in skip}
        self._own_pids = leftovers(places.root)
        self._foreign_output = _written_by_others({*self._own_pids, os.getpid()})
        self._temp_bytes_left = _TEMP_BYTES

    def stack(self) -> Found:
        """Search `servers/`, `logs/` and `run/`."""
        for folder in (self.places.servers, self.places.logs, self.places.run):
            for path in _walk(folder, enter=lambda _path: True, on_error=self._not_readable):
                self._file(path)
        return self.found

    def everywhere(self) -> Found:
        """Search the stack, the temp folders, and deleted files that the stack's processes have open."""
        self.stack()
        for folder in _temp_folders():
            for path in _walk(folder, enter=self._enter, on_error=self._not_readable):
                self._temp_file(path)
        self._deleted([*self._own_pids, os.getpid()])
        return self.found

    def _enter(self, folder: Path) -> bool:
        """Return whether to search a folder in a temp folder. This stack's folders were searched before."""
        if folder in (self.places.root, self.places.world, self.places.packages) or folder.is_symlink():
            return False
        if os.path.ismount(folder):
            # A kernel file system (a chroot's /proc), or a disk without temp files of ours.
            self.found.left_out["another file system"].append(str(folder))
            return False
        if os.path.isdir(folder / "servers") and os.path.isdir(folder / "run" / "secrets"):
            self.found.left_out["another stack, which never had these words"].append(str(folder))
            return False
        return True

    def _not_readable(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            self.found.left_out[error.strerror or type(error).__name__].append(str(error.filename))

    def _temp_file(self, path: Path) -> None:
        try:
            about = path.stat(follow_symlinks=False)
        except OSError:
            return  # deleted meanwhile
        # A program can't set a file's ctime back. One second of tolerance for coarse clocks.
        if about.st_ctime < self.since - 1 or path.resolve() in self._skip:
            return
        if (about.st_dev, about.st_ino) in self._foreign_output:
            self.found.left_out["another program writes it, such as a recording of this output"].append(str(path))
            return
        if about.st_size > self._temp_bytes_left:
            self.found.left_out[f"more than {_TEMP_BYTES // 2**30} GB in the temp folders"].append(str(path))
            return
        if self._file(path):
            self._temp_bytes_left -= about.st_size

    def _file(self, path: Path) -> bool:
        try:
            with path.open("rb") as file:
                self._read(file, str(path))
        except FileNotFoundError:
            return False  # deleted meanwhile; `_deleted` reads it if a process has it open
        except OSError as error:
            self.found.left_out[error.strerror or type(error).__name__].append(str(path))
            return False
        for needle, _at in self.finder.in_bytes(os.fsencode(path)):
            self.found.hits.add(Hit(place=str(path), label=needle.label, form="file name", offset=0))
        return True

    def _read(self, file: BinaryIO, name: str) -> None:
        self.found.files += 1
        self.found.size += os.fstat(file.fileno()).st_size
        for needle, at in self.finder.in_file(file):
            self.found.hits.add(Hit(place=name, label=needle.label, form=needle.form, offset=at))

    def _deleted(self, pids: Iterable[int]) -> None:
        """Search deleted files that processes have open, which are still on the disk. (A memfd never was.)"""
        for pid in pids:
            if not os.access(f"/proc/{pid}/fd", os.R_OK) and Path(f"/proc/{pid}").exists():
                self.found.left_out["only root may see which files it has open"].append(f"process {pid}")
            for handle in _handles(pid):
                try:
                    target = os.readlink(handle)
                    if not target.endswith(" (deleted)") or target.startswith("/memfd:"):
                        continue
                    if not stat.S_ISREG(handle.stat().st_mode):
                        continue
                    with handle.open("rb") as file:
                        self._read(file, f"{target}, open in process {pid}")
                except OSError:
                    continue  # closed meanwhile


def _handles(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return []  # the process has ended


def _written_by_others(ours: Collection[int]) -> set[tuple[int, int]]:
    """Return files (device, inode) that this program prints to, or that programs outside the stack write to.

    A program that records a terminal's output writes the family's words to a file.
    """
    files = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        own = int(entry.name) == os.getpid()
        for handle in _handles(int(entry.name)) if own or int(entry.name) not in ours else ():
            if own and handle.name not in ("1", "2"):
                continue
            try:
                about = handle.stat()
                # The link's permissions show how the file was opened.
                if stat.S_ISREG(about.st_mode) and handle.lstat().st_mode & stat.S_IWUSR:
                    files.add((about.st_dev, about.st_ino))
            except OSError:
                continue  # closed meanwhile
    return files


def _temp_folders() -> list[Path]:
    named = [os.environ.get("TMPDIR"), tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"]  # noqa: S108
    folders = sorted({Path(name).resolve() for name in named if name and Path(name).is_dir()})
    return [folder for folder in folders if not any(other in folder.parents for other in folders)]


def _walk(folder: Path, enter: Callable[[Path], bool], on_error: Callable[[OSError], None]) -> Iterator[Path]:
    """Yield the regular files below a folder, without following links. on_error: called for unreadable folders."""
    for here, folders, names in os.walk(folder, onerror=on_error):
        folders[:] = [name for name in folders if enter(Path(here) / name)]
        for name in names:
            path = Path(here) / name
            try:
                if stat.S_ISREG(path.lstat().st_mode):
                    yield path
            except OSError:
                continue  # deleted meanwhile


def hit_lines(hits: Iterable[Hit]) -> list[str]:
    """Return the hits as lines to print, one per place and label."""
    grouped: dict[tuple[str, str], list[str]] = defaultdict(list)
    for hit in sorted(hits):
        grouped[hit.place, hit.label].append(hit.form)
    return [f"{place}: {label} as {', '.join(forms)}" for (place, label), forms in grouped.items()]
