"""How one stored record is read through a service's own store, and what is told of it there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.contracts.stored.opening import Opened, Row


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One store.

    told: for each stored row, in their order, the parts of its model that are compared with their types (`a.b` is a
    part of a part), or the whole value; {} where it is enough that it is read, None where nothing may be read.
    read: what is read of one row, where that isn't the record of that id in the store's repository.
    samples: of a new store, from which its golden records are made once (see `KEEP` in test_stored.py): models, or the
    rows themselves where no repository keeps them.
    """

    told: Sequence[Any]
    read: Callable[[Opened, Row], Any] | None = None
    samples: Sequence[Any] = ()


def part(value: Any, path: str) -> Any:
    """The part of a model that the path names: fields of objects, items of mappings, places in sequences."""
    for name in path.split("."):
        if isinstance(value, Mapping):
            value = value[name]
        elif name.isdigit():
            value = value[int(name)]
        else:
            value = getattr(value, name)
    return value


def parts(value: Any, told: Any) -> Any:
    """As much of the value as was told of it."""
    return {path: part(value, path) for path in told} if isinstance(told, Mapping) else value


def with_type(value: Any) -> Any:
    """The value so that it equals only one of the same type: the member of an enum is more than its word."""
    if isinstance(value, Mapping):
        return {name: with_type(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [with_type(one) for one in value]
    return type(value), value
