"""The raw search: a person's words, in every form they could take, in the files of a stack as they lie on the disk.

It reads files and open deleted files byte by byte and asks no server anything, so it believes nobody.
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

# Files of others in the temp folders, together, beyond which the rest is named as not searched.
_TEMP_BYTES = 2 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Hit:
    """Where something was found; never the words themselves."""

    place: str
    label: str
    form: str
    offset: int = field(compare=False)


@dataclass(slots=True, kw_only=True)
class Found:
    """What a search has read, what it found, and what it left out and why."""

    hits: set[Hit] = field(default_factory=set)
    files: int = 0
    size: int = 0
    left_out: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def not_searched(self) -> list[str]:
        """What was left out, as one line for each reason."""
        return [
            f"{paths[0]}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}: {reason}"
            for reason, paths in self.left_out.items()
        ]


class Search:
    """One search of one stack.

    since: when the words were made (seconds since 1970). What lies in a temp folder unchanged since before then can't
    hold them and isn't read. skip: files to leave out, such as the one that the words were taken from.
    """

    def __init__(
        self, wanted: Iterable[Needle], places: Places, *, since: float = 0.0, skip: Iterable[Path] = ()
    ) -> None:
        self.finder = Finder(wanted)
        self.places = places
        self.since = since
        self.found = Found()
        self._skip = {path.resolve() for path in skip}
        self._ours = leftovers(places.root)
        self._recorders = _written_by_others({*self._ours, os.getpid()})
        self._left = _TEMP_BYTES

    def stack(self) -> Found:
        """Search `servers/`, `logs/` and `run/`."""
        for folder in (self.places.servers, self.places.logs, self.places.run):
            for path in _walk(folder, enter=lambda _path: True, shut=self._shut):
                self._file(path)
        return self.found

    def everywhere(self) -> Found:
        """Search the stack, the temp folders, and files that its processes hold open though they are deleted."""
        self.stack()
        for folder in _temp_folders():
            for path in _walk(folder, enter=self._enter, shut=self._shut):
                self._temp_file(path)
        self._deleted([*self._ours, os.getpid()])
        return self.found

    def _enter(self, folder: Path) -> bool:
        """Whether a folder in a temp folder is looked into: this stack was, and what left it isn't ours to search."""
        if folder in (self.places.root, self.places.world, self.places.packages):
            return False
        if folder.is_symlink():
            return False
        if os.path.ismount(folder):
            # The kernel's own views (a chroot's /proc), or a disk that no temp file of ours lies on.
            self.found.left_out["another file system"].append(str(folder))
            return False
        if os.path.isdir(folder / "servers") and os.path.isdir(folder / "run" / "secrets"):
            self.found.left_out["another stack, which was never told these words"].append(str(folder))
            return False
        return True

    def _shut(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            self.found.left_out[error.strerror or type(error).__name__].append(str(error.filename))

    def _temp_file(self, path: Path) -> None:
        try:
            about = path.stat(follow_symlinks=False)
        except OSError:
            return  # gone meanwhile
        # The time of a change (ctime) can't be set back by whoever changed the file. A second for coarse clocks.
        if about.st_ctime < self.since - 1 or path.resolve() in self._skip:
            return
        if (about.st_dev, about.st_ino) in self._recorders:
            self.found.left_out["what another program is writing, such as a record of this output"].append(str(path))
            return
        if about.st_size > self._left:
            self.found.left_out[f"over {_TEMP_BYTES // 2**30} GB of others' files together"].append(str(path))
            return
        if self._file(path):
            self._left -= about.st_size

    def _file(self, path: Path) -> bool:
        try:
            with path.open("rb") as file:
                self._read(file, str(path))
        except FileNotFoundError:
            return False  # gone meanwhile; whoever holds it open still is looked at afterwards
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
        """Files that have no name any more but are open, and so still on the disk. (A memfd never was on one.)"""
        for pid in pids:
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
        return []  # it ended


def _written_by_others(ours: Collection[int]) -> set[tuple[int, int]]:
    """Files (device, inode) that programs outside the stack have open to write, and those this program prints to.

    Somebody who keeps what a terminal shows keeps the family's words in a file of their own.
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
                # The link's own permissions say how it was opened.
                if stat.S_ISREG(about.st_mode) and handle.lstat().st_mode & stat.S_IWUSR:
                    files.add((about.st_dev, about.st_ino))
            except OSError:
                continue  # closed meanwhile
    return files


def _temp_folders() -> list[Path]:
    named = [os.environ.get("TMPDIR"), tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"]  # noqa: S108
    folders = sorted({Path(name).resolve() for name in named if name and Path(name).is_dir()})
    return [folder for folder in folders if not any(other in folder.parents for other in folders)]


def _walk(folder: Path, enter: Callable[[Path], bool], shut: Callable[[OSError], None]) -> Iterator[Path]:
    """Regular files below a folder; no link is followed. shut: told of each folder that can't be listed."""
    for here, folders, names in os.walk(folder, onerror=shut):
        folders[:] = [name for name in folders if enter(Path(here) / name)]
        for name in names:
            path = Path(here) / name
            try:
                if stat.S_ISREG(path.lstat().st_mode):
                    yield path
            except OSError:
                continue  # gone meanwhile


def tidy(hits: Iterable[Hit]) -> list[str]:
    """Hits as lines to show, one per place and label."""
    grouped: dict[tuple[str, str], list[str]] = defaultdict(list)
    for hit in sorted(hits):
        grouped[hit.place, hit.label].append(hit.form)
    return [f"{place}: {label} as {', '.join(forms)}" for (place, label), forms in grouped.items()]
