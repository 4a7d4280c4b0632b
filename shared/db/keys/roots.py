"""Where the roots of a service's key tree are kept: outside the database, in several places at once.

A root is 32 random bytes under a random id. Whoever holds the database alone can open nothing; destroying the root in
every place makes unreadable whatever hung on it, in old copies of the database too.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from shared.ops.files import overwrite_and_remove, sync_folder, write_all

ROOT_BYTES: Final = 32
_SUFFIX: Final = ".root"
_STORE_FILE: Final = "store"
# A file in the making: it holds a root that nothing hangs on yet.
_PART: Final = ".part"


class PlaceAway(Exception):
    """A place can't be read or written. Nothing was destroyed, and nothing may be called destroyed."""


class RootMissing(Exception):
    """No place has the root of that id."""


class RootStore(Protocol):
    """Keeps roots. An HSM or a key management service would be another one.

    Every method raises PlaceAway while a place can't be used, but `identity` and `copies`, for which one is enough.
    """

    def identity(self) -> str | None:
        """The id of this store, which the key tree names; None before `begin`."""
        ...

    def begin(self, identity: str) -> str:
        """Give the store its id, unless it has one; the id that it has."""
        ...

    def create(self, id: str, root: bytes) -> bytes:
        """Write a root in every place, and read it back from each; the root of that id.

        Where another process was first, its root is the one. Raises FileExistsError where places differ.
        """
        ...

    def copies(self, id: str) -> list[bytes]:
        """The root of that id as each place has it; a copy that was damaged differs. Raises RootMissing."""
        ...

    def ids(self) -> set[str]:
        """The ids of the roots that any place has."""
        ...

    def destroy(self, id: str) -> None:
        """Destroy the root of that id in every place, and look that it is gone. One that isn't there is no error."""
        ...

    def is_whole(self, id: str) -> bool:
        """Whether every place has the same root of that id: a disk that was replaced or damaged doesn't."""
        ...

    def is_writable(self) -> bool:
        """Whether this process may write in every place; an API's containers may not."""
        ...


class Folders:
    """Roots as files, in folders on different disks: one file a root, 0600, `<id>.root`; the store's id in `store`."""

    def __init__(self, places: Sequence[Path]) -> None:
        """places: two or more folders that exist; the first is read first."""
        self._places = tuple(places)

    def identity(self) -> str | None:
        found: set[str] = set()
        away: list[PlaceAway] = []
        for place in self._places:
            try:
                found |= {text for text in [_read_text(place / _STORE_FILE)] if text}
            except PlaceAway as error:
                away.append(error)
        if len(found) > 1:
            raise PlaceAway("the folders of FMN_ROOTS belong to different key trees")
        if away and not found:
            raise away[0]
        return found.pop() if found else None

    def begin(self, identity: str) -> str:
        for place in self._places:
            identity = self.identity() or identity
            # Another process that starts at the same moment may be first; then its id is the store's.
            with suppress(FileExistsError):
                _create(place / _STORE_FILE, identity.encode())
        return self.identity() or identity

    def create(self, id: str, root: bytes) -> bytes:
        for place in self._places:
            path = place / (id + _SUFFIX)
            with suppress(FileExistsError):
                _create(path, root)
            there = _read(path)
            if there is None or (there != root and place != self._places[0]):
                raise FileExistsError(path)
            root = there
        return root

    def copies(self, id: str) -> list[bytes]:
        away: PlaceAway | None = None
        found: list[bytes] = []
        for place in self._places:
            try:
                root = _read(place / (id + _SUFFIX))
            except PlaceAway as error:
                away = error
                continue
            if root is not None:
                found.append(root)
        if found:
            return found
        if away is not None:
            raise away
        raise RootMissing(f"no folder of FMN_ROOTS has the root {id}")

    def replace(self, identity: str, id: str, root: bytes) -> None:
        """Destroy every root that is here, and keep this one alone, in a store of this id: for a restore."""
        for place in self._places:
            for path in _listed(place):
                _destroy(path)
            _destroy(place / _STORE_FILE)
        self.begin(identity)
        self.create(id, root)

    def ids(self) -> set[str]:
        return {path.name.removesuffix(_SUFFIX) for place in self._places for path in _listed(place)}

    def destroy(self, id: str) -> None:
        for place in self._places:
            _destroy(place / (id + _SUFFIX))

    def is_whole(self, id: str) -> bool:
        copies = {_read(place / (id + _SUFFIX)) for place in self._places}
        return len(copies) == 1 and None not in copies

    def is_writable(self) -> bool:
        return all(os.access(place, os.W_OK | os.X_OK) for place in self._places)


def new_root() -> tuple[str, bytes]:
    """A random id, which says nothing of when it was made, and a random root."""
    return secrets.token_hex(16), secrets.token_bytes(ROOT_BYTES)


def _read(path: Path) -> bytes | None:
    """The file's bytes; None where it isn't there but its folder is. Raises PlaceAway."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        if path.parent.is_dir():
            return None
        raise PlaceAway(f"{path.parent} is missing") from None
    except OSError as error:
        raise PlaceAway(f"{path.parent} can't be read: {error.strerror}") from error


def _read_text(path: Path) -> str | None:
    content = _read(path)
    return None if content is None else content.decode("ascii", "replace").strip() or None


def _listed(place: Path) -> list[Path]:
    try:
        return [path for path in place.iterdir() if path.name.endswith(_SUFFIX)]
    except OSError as error:
        raise PlaceAway(f"{place} can't be read: {error.strerror}") from error


def _create(path: Path, content: bytes) -> None:
    """Write a file that isn't there yet, whole or not at all, and wait until the disk has it and its name.

    Raises FileExistsError, PlaceAway.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_PART}")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            write_all(descriptor, content)
            os.link(part, path)
        finally:
            os.close(descriptor)
            os.unlink(part)
        sync_folder(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise PlaceAway(f"{path.parent} can't be written: {error.strerror}") from error


def _destroy(path: Path) -> None:
    """Overwrite a file, wait for the disk, remove its name, and look that it is gone. Raises PlaceAway."""
    try:
        if not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "it is missing")
        try:
            overwrite_and_remove(path)
        except FileNotFoundError:
            return
        sync_folder(path.parent)
    except OSError as error:
        raise PlaceAway(f"{path.parent} can't be written: {error.strerror}") from error
    if path.exists():
        raise PlaceAway(f"{path.parent} still has a root that was removed")
