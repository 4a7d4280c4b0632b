"""Archives as files: a ZIP whose last member is the manifest, with the SHA-256 and size of every other.

A file appears in its folder whole and synced, or not at all. Nothing in an archive is compressed: what is worth it is
encrypted.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

import bson
from bson.codec_options import CodecOptions

from deploy.backup.errors import BadArchive
from shared.ops.files import sync_folder

MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
PART: Final = ".part"
_CHUNK: Final = 1024 * 1024
_LENGTH_BYTES: Final = 4
_AWARE: Final = CodecOptions[dict[str, Any]](tz_aware=True)


class Writer:
    """Writes the members of one archive."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED)
        self._files: dict[str, dict[str, Any]] = {}

    def add(self, name: str, pieces: Iterable[bytes], *, counted: bool = False) -> None:
        """Add a member. counted: each piece is a document, and the manifest says how many there are."""
        digest, size, count = hashlib.sha256(), 0, 0
        with self._zip.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
            for piece in pieces:
                member.write(piece)
                digest.update(piece)
                size += len(piece)
                count += 1
        self._files[name] = {"size": size, "sha256": digest.hexdigest(), **({"count": count} if counted else {})}

    def finish(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Add the manifest, with what is said of the archive; the manifest. Nothing is added after it."""
        manifest = {"format": FORMAT, **said, "files": self._files}
        self._zip.writestr(zipfile.ZipInfo(MANIFEST), json.dumps(manifest, indent=1))
        self.close()
        return manifest

    def close(self) -> None:
        self._zip.close()


class Reader:
    """Reads an archive whose every member is as the manifest says. Raises BadArchive."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._name = name
        try:
            self._zip = zipfile.ZipFile(file)
            self.manifest: dict[str, Any] = json.loads(self._zip.read(MANIFEST))
            self._files: dict[str, Any] = dict(self.manifest["files"])
        except (zipfile.BadZipFile, KeyError, TypeError, ValueError, OSError) as error:
            raise BadArchive(f"{name} is no archive, or it was cut short.") from error
        if self.manifest.get("format") != FORMAT:
            raise BadArchive(f"{name} was made by another version, in a form that this one doesn't read.")
        if sorted(self._zip.namelist()) != sorted([*self._files, MANIFEST]):
            raise BadArchive(f"{name} holds other files than its manifest says.")

    @property
    def names(self) -> list[str]:
        return list(self._files)

    def count(self, name: str) -> int:
        """How many documents that member has."""
        return int(self._files[name]["count"])

    def check(self) -> None:
        """Read every member, and compare its digest. Raises BadArchive."""
        for name, said in self._files.items():
            digest = hashlib.sha256()
            try:
                with self._zip.open(name) as member:
                    while piece := member.read(_CHUNK):
                        digest.update(piece)
            except (zipfile.BadZipFile, OSError) as error:
                raise BadArchive(f"{name} in {self._name} can't be read.") from error
            if digest.hexdigest() != said["sha256"]:
                raise BadArchive(f"{name} in {self._name} isn't what its manifest says: the archive was changed.")

    @contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        """A member as a stream."""
        with self._zip.open(name) as member:
            yield member

    def read(self, name: str) -> bytes:
        return self._zip.read(name)

    def documents(self, name: str) -> Iterator[dict[str, Any]]:
        """The documents of a member; none where there is no such member."""
        return (bson.decode(raw, _AWARE) for raw in self.raw_documents(name))

    def raw_documents(self, name: str) -> Iterator[bytes]:
        """The same, as BSON."""
        if name in self._files:
            with self._zip.open(name) as member:
                while head := member.read(_LENGTH_BYTES):
                    yield head + member.read(int.from_bytes(head, "little") - _LENGTH_BYTES)


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """A new file that only its owner may read; it gets its name once it is whole and on the disk."""
    part = path.with_name(f".{path.name}{PART}")
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # Not over another archive of that name.
        os.link(part, path)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
    sync_folder(path.parent)
