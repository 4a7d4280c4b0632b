"""What a store is: how it counts, deletes, reads back and exports what it holds of a case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from shared.fields import Field


class Disposal(StrEnum):
    """What an erasure does with a store.

    erase: its records go. strip: the row stays, its `personal` goes. late: it stays, under a key of its own, until
    something outside is certified, and then goes. keep: nothing personal was ever in it. apart: kept outside the case,
    each record under a key of its own with a retention of its own; no erasure, receipt or package says that it is
    there (safeguarding, P15).
    """

    ERASE = "erase"
    STRIP = "strip"
    LATE = "late"
    KEEP = "keep"
    APART = "apart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What a store has of a case: how many records with a personal part, and what deletes, or strips, just these."""

    count: int
    delete: Callable[[], int]


class Readable(Protocol):
    """Bytes in order, b"" at the end."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """One record, or one file, as the family would be given it.

    fields: plain JSON values. content: opens the file's own bytes, where there is a file.
    """

    id: str
    fields: Mapping[str, Any]
    content: Callable[[], AbstractContextManager[Readable]] | None = None


class Store(Protocol):
    """One collection, bucket or folder."""

    name: str
    disposal: Disposal
    clear: Mapping[str, Field]

    def prepare(self) -> None:
        """Make the indexes."""
        ...

    def found(self, case_id: str) -> int:
        """Records of the case that have a personal part (of objects: versions, markers and unfinished uploads)."""
        ...

    def delete(self, case_id: str) -> int:
        """Delete, or strip, what there is of the case; how many records it was."""
        ...

    def inventory(self, case_id: str) -> Inventory:
        """`found`, and then `delete`, of a store that has to be searched for both: once."""
        ...

    def remaining(self, case_id: str) -> int:
        """Read back: how many records still have a personal part, without decrypting any."""
        ...

    def export(self, case_id: str) -> Iterator[Exported]:
        """What the family would be given of it (P23), oldest first."""
        ...
