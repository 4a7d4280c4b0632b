"""Search bytes and files for needles: byte strings that are the encoded forms of the texts searched for."""

from __future__ import annotations

import base64
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO
from urllib.parse import quote, quote_plus

MIN_CHARACTERS = 6
MIN_PIECE_BYTES = 16
# Fits a processor's cache: each chunk is searched about fifty times.
_CHUNK_BYTES = 256 * 1024
_ZEROS = bytes(_CHUNK_BYTES)
# The shortest run of bytes that is worth searching once for all the forms that share it.
_MIN_SHARED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Needle:
    """One form of a text. label: what the text is. form: the encoding's name. data: the bytes to search for."""

    label: str
    form: str
    data: bytes = field(repr=False)


def needles(label: str, text: str) -> list[Needle]:
    """Return all forms of a text: UTF-8, UTF-16LE and BE, base64 at three alignments, JSON-escaped, percent-encoded.

    Raises ValueError for a text under six characters, which could be found by chance.
    """
    if len(text) < MIN_CHARACTERS:
        raise ValueError(f"A text to search for needs {MIN_CHARACTERS} characters or more.")
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
            forms[f"{name}, {shift} in"] = _base64_inside(encode, raw, shift)
    unique: dict[bytes, Needle] = {}
    for form, data in forms.items():
        unique.setdefault(data, Needle(label=label, form=form, data=data))
    return list(unique.values())


def piece(label: str, data: bytes) -> Needle:
    """Return a needle for unencoded bytes. Raises ValueError for fewer than 16."""
    if len(data) < MIN_PIECE_BYTES:
        raise ValueError(f"A piece of a file needs {MIN_PIECE_BYTES} bytes or more.")
    return Needle(label=label, form="bytes", data=data)


def _base64_inside(encode: Callable[[bytes], bytes], raw: bytes, shift: int) -> bytes:
    """Return the base64 characters that depend on `raw` alone when `shift` bytes precede it."""
    text = encode(bytes(shift) + raw)
    first = -(-shift * 8 // 6)
    last = (shift + len(raw)) * 8 // 6
    return text[first:last]


class Finder:
    """Searches for many needles at the same time."""

    def __init__(self, wanted: Iterable[Needle]) -> None:
        self.needles = list(wanted)
        self._overlap = max((len(needle.data) for needle in self.needles), default=0)
        # anchor, a byte string -> the needles that contain it, each with the anchor's position in it
        self._anchors: dict[bytes, list[tuple[int, Needle]]] = defaultdict(list)
        by_label: dict[str, list[Needle]] = defaultdict(list)
        for needle in self.needles:
            by_label[needle.label].append(needle)
        for group in by_label.values():
            self._group(group)

    def _group(self, group: Sequence[Needle]) -> None:
        runs = [run for needle in group for run in re.findall(rb"[A-Za-z0-9]{%d,}" % _MIN_SHARED, needle.data)]
        # UTF-16 has the zero byte before or after each character; between characters both have it.
        wide = [run.decode().encode("utf-16-le")[:-1] for run in runs]
        shared = sorted({*runs, *wide}, key=lambda run: (-sum(run in n.data for n in group), -len(run)))
        for needle in group:
            anchor = next((run for run in shared if run in needle.data), needle.data)
            self._anchors[anchor].append((needle.data.index(anchor), needle))

    def in_bytes(self, data: bytes) -> Iterator[tuple[Needle, int]]:
        """Yield each needle that is in `data`, with its first position."""
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
        """Yield each needle in an open file, chunk by chunk, skipping chunks of zeros. Raises OSError."""
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
