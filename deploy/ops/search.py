"""The raw search: a person's words, in every form they could take, in the files of a stack as they lie on the disk.

It reads files and open deleted files byte by byte and asks no server anything, so it believes nobody.
"""

from __future__ import annotations

import base64
import json
import os
import re
import stat
import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, quote_plus

from deploy.local.places import Places
from deploy.local.processes import leftovers

MIN_CHARACTERS = 6
MIN_PIECE_BYTES = 16
# Small enough for a processor's cache: some fifty passes are made over each chunk.
_CHUNK_BYTES = 256 * 1024
_ZEROS = bytes(_CHUNK_BYTES)
# A run that most forms of a text share is looked for once instead of once per form.
_MIN_SHARED = 4
# Files of others in the temp folders, together, beyond which the rest is named as not searched.
_TEMP_BYTES = 2 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Needle:
    """What to look for: whose words (`label`), in which `form`, as which bytes."""

    label: str
    form: str
    data: bytes = field(repr=False)


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


def needles(label: str, text: str) -> list[Needle]:
    """Every form of a text: UTF-8, UTF-16 both ways, base64 at three alignments, JSON-escaped, percent-encoded.

    Raises ValueError for a text under six characters, which would be found by chance.
    """
    if len(text) < MIN_CHARACTERS:
        raise ValueError(f"A text to look for has {MIN_CHARACTERS} characters or more.")
    raw = text.encode()
    escaped = json.dumps(text)[1:-1]
    percent = quote(text, safe="")
    forms = {
        "UTF-8": raw,
        "UTF-16LE": text.encode("utf-16-le"),
        "UTF-16BE": text.encode("utf-16-be"),
        "JSON": json.dumps(text, ensure_ascii=False)[1:-1].encode(),
        "JSON, escaped": escaped.encode(),
        "JSON, capitals": re.sub(r"\\u[0-9a-f]{4}", lambda found: "\\u" + found[0][2:].upper(), escaped).encode(),
        "percent": percent.encode(),
        "percent, small": re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), percent).encode(),
        "form": quote_plus(text).encode(),
    }
    for shift in range(3):
        for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
            forms[f"{name}, {shift} in"] = _settled(encode, raw, shift)
    unique: dict[bytes, Needle] = {}
    for form, data in forms.items():
        unique.setdefault(data, Needle(label=label, form=form, data=data))
    return list(unique.values())


def piece(label: str, data: bytes) -> Needle:
    """Bytes to look for as they are."""
    if len(data) < MIN_PIECE_BYTES:
        raise ValueError(f"A piece of a file has {MIN_PIECE_BYTES} bytes or more.")
    return Needle(label=label, form="bytes", data=data)


def _settled(encode: Callable[[bytes], bytes], raw: bytes, shift: int) -> bytes:
    """The base64 characters that `raw` alone decides when `shift` bytes stand before it."""
    text = encode(bytes(shift) + raw)
    first = -(-shift * 8 // 6)
    last = (shift + len(raw)) * 8 // 6
    return text[first:last]


class Finder:
    """Looks for many needles at once."""

    def __init__(self, wanted: Iterable[Needle]) -> None:
        self.needles = list(wanted)
        self._overlap = max((len(needle.data) for needle in self.needles), default=0)
        # anchor -> the needles that contain it, each with where in it
        self._anchors: dict[bytes, list[tuple[int, Needle]]] = defaultdict(list)
        by_label: dict[str, list[Needle]] = defaultdict(list)
        for needle in self.needles:
            by_label[needle.label].append(needle)
        for group in by_label.values():
            self._group(group)

    def _group(self, group: Sequence[Needle]) -> None:
        runs = [run for needle in group for run in re.findall(rb"[A-Za-z0-9]{%d,}" % _MIN_SHARED, needle.data)]
        # In UTF-16 the zero beside each character stands before it or after it; between them it stands either way.
        wide = [run.decode().encode("utf-16-le")[:-1] for run in runs]
        shared = sorted({*runs, *wide}, key=lambda run: (-sum(run in n.data for n in group), -len(run)))
        for needle in group:
            anchor = next((run for run in shared if run in needle.data), needle.data)
            self._anchors[anchor].append((needle.data.index(anchor), needle))

    def in_bytes(self, data: bytes) -> Iterator[tuple[Needle, int]]:
        """Each needle that is in `data`, with where it is first."""
        for anchor, needles_of in self._anchors.items():
            at = data.find(anchor)
            missing = list(needles_of)
            while at >= 0 and missing:
                for pair in list(missing):
                    within, needle = pair
                    start = at - within
                    if start >= 0 and data.startswith(needle.data, start):
                        missing.remove(pair)
                        yield needle, start
                at = data.find(anchor, at + 1)

    def in_file(self, file: BinaryIO) -> Iterator[tuple[Needle, int]]:
        """Each needle in an open file, block by block; holes and zeros are stepped over. Raises OSError."""
        before, offset = b"", 0
        while chunk := file.read(_CHUNK_BYTES):
            if chunk == _ZEROS and not any(before):
                before = chunk[-self._overlap :] if self._overlap else b""
            else:
                window = before + chunk
                for needle, at in self.in_bytes(window):
                    yield needle, offset - len(before) + at
                before = window[-self._overlap :] if self._overlap else b""
            offset += len(chunk)


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
            for path in _walk(folder, enter=lambda _path: True):
                self._file(path)
        return self.found

    def everywhere(self) -> Found:
        """Search the stack, the temp folders, and files that its processes hold open though they are deleted."""
        self.stack()
        for folder in _temp_folders():
            for path in _walk(folder, enter=self._enter):
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


def _walk(folder: Path, enter: Callable[[Path], bool]) -> Iterator[Path]:
    """Regular files below a folder; no link is followed."""
    for here, folders, names in os.walk(folder):
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
