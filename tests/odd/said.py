"""What is to be said of a file."""

from __future__ import annotations

from dataclasses import dataclass

from services.document.parsing.errors import Feature, Reason


@dataclass(frozen=True, slots=True)
class Said:
    """A file, and either its pages and warnings or why it is refused. password: what is sent with it."""

    name: str
    data: bytes
    pages: int = 0
    warnings: tuple[str, ...] = ()
    refusal: Reason | Feature | None = None
    password: str | None = None
    locked: bool = False
