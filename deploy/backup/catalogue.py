"""Which archives there are, and until when: files in a folder, and rows that the consent service reads.

The row is written before anything is read for the archive, and marked once the file is gone. So a certificate never
names an earlier day than the one on which the last archive is gone that could open the family's data.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from pymongo.collection import Collection

from deploy.backup.archives import PART
from deploy.backup.errors import CannotBackUp
from deploy.backup.installation import Installation
from deploy.local.places import private_folder
from shared.db.keys.tree import Row
from shared.ops.files import sync_folder

#: The consent service's store of them.
ARCHIVES: Final = "archives"
DATA, KEYS = "data", "keys"
#: How often an archive of the keys is made, and how many are kept.
KEYS_EVERY: Final = timedelta(hours=1)
KEYS_KEPT: Final = 2
#: Until the run that removes it is over.
KEYS_FOR: Final = KEYS_KEPT * KEYS_EVERY + timedelta(minutes=15)
_NAME: Final = re.compile(r"(data|keys)-(\d{8}T\d{9}Z)-(\d{8}T\d{9}Z)\.fmn")
_TIME: Final = "%Y%m%dT%H%M%S%f"
_LOCK: Final = ".lock"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Archive:
    """One archive's file. began_at: before anything was read for it. until: when it is to be gone."""

    began_at: datetime
    until: datetime
    kind: str
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.kind}-{_told(self.began_at)}-{_told(self.until)}.fmn"

    @property
    def path(self) -> Path:
        return self.folder / self.name


def listed(folder: Path, kind: str) -> list[Archive]:
    """The archives of that kind in the folder, oldest first."""
    found = [_read(path) for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(archive for archive in found if archive is not None and archive.kind == kind)


def enter(installation: Installation, archive: Archive) -> None:
    """Say that the archive is about to be made."""
    row = {
        "kind": archive.kind,
        "folder": _digest(archive.folder),
        "began_at": archive.began_at,
        "until": archive.until,
        "gone_at": None,
    }
    _rows(installation).replace_one({"_id": archive.name}, row, upsert=True)


def enter_listed(installation: Installation, folder: Path) -> None:
    """Say which archives the folder has: no archive holds the catalogue."""
    for kind in (DATA, KEYS):
        for archive in listed(folder, kind):
            enter(installation, archive)


def prune(installation: Installation, folder: Path, now: datetime) -> list[Archive]:
    """Remove the data archives whose time is over, and all archives of keys but the newest two; which went.

    The caller has locked the folder.
    """
    over = [archive for archive in listed(folder, DATA) if archive.until <= now] + listed(folder, KEYS)[:-KEYS_KEPT]
    for archive in over:
        archive.path.unlink(missing_ok=True)
    sync_folder(folder)
    # Also of a run that was killed before it had made the file.
    there = [archive.name for kind in (DATA, KEYS) for archive in listed(folder, kind)]
    gone = {"folder": _digest(folder), "gone_at": None, "_id": {"$nin": there}}
    _rows(installation).update_many(gone, {"$set": {"gone_at": now}})
    return over


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder, and let no other backup work in it meanwhile. Raises CannotBackUp."""
    try:
        private_folder(folder)
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CannotBackUp(f"{folder} can't be written: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CannotBackUp(f"Another backup works in {folder}.") from error
        # What a run that was killed had begun.
        for part in folder.glob(f".*{PART}"):
            part.unlink()
        yield
    finally:
        os.close(descriptor)


def _rows(installation: Installation) -> Collection[Row]:
    consent = installation["consent"]
    return consent.client[consent.database][ARCHIVES]


def _digest(folder: Path) -> str:
    """What stands for the folder in the database, where no path may be."""
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()


def _told(moment: datetime) -> str:
    return f"{moment.astimezone(UTC).strftime(_TIME)[:-3]}Z"


def _read(path: Path) -> Archive | None:
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    began_at, until = (datetime.strptime(match[n].removesuffix("Z"), _TIME).replace(tzinfo=UTC) for n in (2, 3))
    return Archive(kind=match[1], folder=path.parent, began_at=began_at, until=until)
