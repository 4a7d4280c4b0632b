"""A printer that takes a letter at once: a folder that a print server or a person empties."""

import os
import re
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from services.notifier.transports.errors import TryAgain, Unknown


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
    final = folder / f"{name}.pdf"
    try:
        part = _written(folder, name, pdf)
    except OSError:
        raise TryAgain("The printer's folder can't be written to; the letter is kept.") from None
    try:
        # A link is as atomic as a rename, and fails where a rename would replace what is there.
        os.link(part, final)
    except FileExistsError:
        return False
    except OSError:
        raise TryAgain("The letter couldn't be given its name in the printer's folder; it is kept.") from None
    finally:
        part.unlink(missing_ok=True)
    try:
        _sync(folder)
    except OSError:
        raise Unknown("The letter is in the printer's folder, but the disk didn't confirm it.") from None
    return True


def _written(folder: Path, name: str, pdf: bytes) -> Path:
    """The letter's bytes, on the disk, under a hidden name; what a crash left under such a name goes first."""
    for left_over in folder.glob(f".{name}.*.part"):
        left_over.unlink(missing_ok=True)
    handle, part = tempfile.mkstemp(prefix=f".{name}.", suffix=".part", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pdf)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        Path(part).unlink(missing_ok=True)
        raise
    return Path(part)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
