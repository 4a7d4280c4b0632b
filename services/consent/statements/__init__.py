"""The privacy statement, one file a version; what is shown is pinned by version and SHA-256 (P2)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One version: its text, and the SHA-256 of that text as UTF-8, in hex."""

    text: str
    sha256: str


@cache
def _all() -> dict[str, Statement]:
    found = {}
    for path in _FOLDER.glob("*.md"):
        raw = path.read_bytes()
        found[path.stem] = Statement(text=raw.decode(), sha256=hashlib.sha256(raw).hexdigest())
    return found


def text_of(version: str) -> Statement | None:
    return _all().get(version)


def latest() -> str:
    return max(_all(), key=int)
