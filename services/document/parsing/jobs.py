"""What can be asked of a child process about a file: a closed table, each job with its name.

A job gets the file, its arguments (plain values) and where its output goes, if it has one. It gives plain values back,
as JSON can carry them. It raises a refusal of `parsing.errors`, and what it doesn't catch ends its process.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any, BinaryIO, Final

from services.document.parsing import email_message, previews, warming
from services.document.parsing import inspect as inspecting
from services.document.parsing.errors import Unreadable
from services.document.parsing.media_types import EMAIL
from services.document.parsing.source import Source

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


def attachment(source: Source, arguments: Mapping[str, Any], output: BinaryIO) -> Mapping[str, Any]:
    """An attachment of an email, decoded, in the output. Arguments: number (from 1); nothing comes back."""
    email_message.attachment(source, arguments["number"], output)
    return {}


JOBS: Final[Mapping[str, Job]] = {"inspect": inspect, "preview": preview, "unlock": unlock, "attachment": attachment}


def warm_up() -> None:
    """Do each job once on small files, so that every library has loaded what it loads late: a child opens no file."""
    warming.load_character_sets()
    for media_type, data in warming.samples():
        with warming.sealed(data) as source:
            inspect(source, {}, io.BytesIO())
            if media_type in previews.MEDIA_TYPES:
                preview(source, {"media_type": media_type, "page": 1, "width": 16}, io.BytesIO())
            if media_type == EMAIL:
                attachment(source, {"number": 1}, io.BytesIO())
    with warming.sealed(warming.locked_pdf()) as source:
        with suppress(Unreadable):
            inspect(source, {"password": "é"}, io.BytesIO())  # tries every way to spell it
        inspect(source, {"password": warming.PASSWORD}, io.BytesIO())
        unlock(source, {"password": warming.PASSWORD}, io.BytesIO())
