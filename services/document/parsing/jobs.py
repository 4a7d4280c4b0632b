"""What can be asked of a child process about a file: a closed table, each job with its name.

A job gets the file, its arguments (plain values) and where its output goes, if it has one. It gives plain values back,
as JSON can carry them. It raises a refusal of `parsing.errors`, and what it doesn't catch ends its process.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any, BinaryIO, Final

import pikepdf
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from PIL import Image

from services.document.parsing import inspect as inspecting
from services.document.parsing import previews
from services.document.parsing.errors import Unreadable
from services.document.parsing.source import BLOCK, Source

_PASSWORD = "open"  # noqa: S105 - of a file that is made here

Job = Callable[[Source, Mapping[str, Any], BinaryIO], Mapping[str, Any]]


def inspect(source: Source, arguments: Mapping[str, Any], output: BinaryIO) -> Mapping[str, Any]:
    """What the file is: the fields of an Inspection. Argument: password, or null; no output."""
    return asdict(inspecting.inspect(source, password=arguments.get("password")))


def unlock(source: Source, arguments: Mapping[str, Any], output: BinaryIO) -> Mapping[str, Any]:
    """The PDF without its password in the output. Argument: password; nothing comes back."""
    inspecting.unlock(source, arguments["password"], output)
    return {}


def preview(source: Source, arguments: Mapping[str, Any], output: BinaryIO) -> Mapping[str, Any]:
    """A page as a PNG in the output. Arguments: media_type, page (from 1), width (px); nothing comes back."""
    previews.preview(source, output, **arguments)
    return {}


JOBS: Final[Mapping[str, Job]] = {"inspect": inspect, "preview": preview, "unlock": unlock}


def warm_up() -> None:
    """Do each job once on small files, so that every library has loaded what it loads late: a child opens no file."""
    for media_type, data in _samples():
        with _sealed(data) as source:
            inspect(source, {}, io.BytesIO())
            preview(source, {"media_type": media_type, "page": 1, "width": 16}, io.BytesIO())
    with _sealed(_locked()) as source:
        with suppress(Unreadable):
            inspect(source, {"password": "é"}, io.BytesIO())  # tries every way to spell it
        inspect(source, {"password": _PASSWORD}, io.BytesIO())
        unlock(source, {"password": _PASSWORD}, io.BytesIO())


def _locked() -> bytes:
    held, document = io.BytesIO(), pikepdf.new()
    document.add_blank_page()
    document.save(held, encryption=pikepdf.Encryption(user=_PASSWORD, owner=_PASSWORD))
    return held.getvalue()


@contextmanager
def _sealed(data: bytes) -> Iterator[Source]:
    """These bytes as a child gets them, in memory."""
    key, descriptor = os.urandom(32), os.memfd_create("sample")
    try:
        os.write(descriptor, Cipher(AES(key), CTR(bytes(BLOCK))).encryptor().update(data))
        yield Source(descriptor, key, len(data))
    finally:
        os.close(descriptor)


def _samples() -> Iterator[tuple[str, bytes]]:
    picture = Image.new("RGB", (32, 32), "white")
    for media_type, kind, options in (
        ("image/jpeg", "JPEG", {}),
        ("image/png", "PNG", {}),
        ("image/tiff", "TIFF", {"compression": "tiff_lzw"}),
    ):
        held = io.BytesIO()
        picture.save(held, kind, **options)
        yield media_type, held.getvalue()
    document, held = pikepdf.new(), io.BytesIO()
    document.add_blank_page()
    document.save(held)
    yield "application/pdf", held.getvalue()
