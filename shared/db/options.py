"""What a repository may be told besides its name, its dataclass, its clear fields and its disposal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Generic, TypedDict, TypeVar

from shared.db.changes import Feed

T = TypeVar("T")


class Options(TypedDict, Generic[T], total=False):
    """What a repository may be told besides.

    indexes, unique: by clear fields; a unique one passes over rows without its fields.
    absent_if_none: clear fields that are left out of the row where they are None.
    exported, not_exported: whether a family is given its records (P23), and less which fields.
    unbound: clear fields that are written without the record's version, and decide nothing about a person.
    key_of: the name of the key that an item is sealed under; None for its case's, or the office's without a case.
    expire_after: rows go so long after their clear field `at`.
    why: why an erasure leaves it, where it does.
    handed_on: what a record holds goes on in others of its case, so that removing it forgets nothing.
    feed: how the change feed tells of its records; not at all without.
    """

    indexes: tuple[tuple[str, ...], ...]
    unique: tuple[tuple[str, ...], ...]
    absent_if_none: tuple[str, ...]
    exported: bool
    not_exported: tuple[str, ...]
    unbound: tuple[str, ...]
    key_of: Callable[[T], str | None]
    expire_after: timedelta
    why: str
    handed_on: bool
    feed: Feed
