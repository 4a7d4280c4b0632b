"""A printer that takes a letter at once: a folder that a print server or a person empties."""

import errno
import os
import re
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from services.notifier.transports.errors import TryAgain, Unknown
from shared.ops.files import opened_folder, sync_folder, write_all


def printer_folder(printer_url: str) -> Path:
    """The folder that `file:///dir` names. Raises ValueError for any other printer."""
    parts = urlsplit(printer_url)
    if parts.scheme != "file" or parts.netloc or parts.query or parts.fragment or not re.match("/[^/]", parts.path):
        raise ValueError("The printer must be a folder, as file:///folder.")
    return Path(unquote(parts.path))


def print_letter(*, printer_url: str, name: str, pdf: bytes) -> bool:
    """Put `<name>.pdf` into the printer's folder whole; `name` is the notification's id.

    True when it was handed over now, False when a letter of that name was there already (never replaced).
    Raises TryAgain when it certainly isn't there, Unknown when it is but might not outlive a power cut.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}", name):
        raise ValueError("A letter is named by its notification's id.")
    folder = printer_folder(printer_url)
    try:
        _remove_left_overs(folder, name)
        letter = _written(folder, name, pdf)
    except OSError:
        raise TryAgain("The printer's folder can't be written to; the letter is kept.") from None
    try:
        # A link is as atomic as a rename, and fails where a rename would replace what is there.
        _link(letter.path, folder, f"{name}.pdf")
    except FileExistsError:
        return False
    except OSError:
        raise TryAgain("The letter couldn't be given its name in the printer's folder; it is kept.") from None
    finally:
        letter.close()
    try:
        sync_folder(folder)
    except OSError:
        raise Unknown("The letter is in the printer's folder, but the disk didn't confirm it.") from None
    return True


def letters_waiting(printer_url: str, *, before: datetime) -> int:
    """How many files have lain in the printer's folder since before that moment, under any name. Raises OSError.

    What a crash left under a hidden name counts too: it may be a whole letter.
    """
    count = 0
    for path in printer_folder(printer_url).iterdir():
        # The printer may take it at this moment.
        with suppress(FileNotFoundError):
            found = path.lstat()
            count += stat.S_ISREG(found.st_mode) and found.st_mtime < before.timestamp()
    return count


@dataclass(frozen=True, slots=True, kw_only=True)
class _Letter:
    """A letter's bytes on the disk, without a name. path: by which it can be given one. part: a hidden name, where the
    file system knows no files without one.
    """

    descriptor: int
    path: Path
    part: Path | None = None

    def close(self) -> None:
        os.close(self.descriptor)
        if self.part is not None:
            self.part.unlink(missing_ok=True)


def _written(folder: Path, name: str, pdf: bytes) -> _Letter:
    """The letter on the disk: what has no name is gone with a crash."""
    letter = _nameless(folder) or _hidden(folder, name)
    try:
        write_all(letter.descriptor, pdf)
    except BaseException:
        letter.close()
        raise
    return letter


def _nameless(folder: Path) -> _Letter | None:
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            return None
        raise
    return _Letter(descriptor=descriptor, path=Path(f"/proc/self/fd/{descriptor}"))


def _hidden(folder: Path, name: str) -> _Letter:
    descriptor, part = tempfile.mkstemp(prefix=f".{name}.", suffix=".part", dir=folder)
    return _Letter(descriptor=descriptor, path=Path(part), part=Path(part))


def _remove_left_overs(folder: Path, name: str) -> None:
    """What a crash left under a hidden name."""
    for left_over in folder.glob(f".{name}.*.part"):
        left_over.unlink(missing_ok=True)


def _link(letter: Path, folder: Path, name: str) -> None:
    """Give the letter its name. The folder is passed open, since os.link follows /proc/self/fd only then."""
    with opened_folder(folder) as descriptor:
        os.link(letter, name, dst_dir_fd=descriptor)
