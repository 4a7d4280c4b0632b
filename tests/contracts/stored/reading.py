"""How one stored record is read through a service's own store, and what is told of it there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.contracts.stored.opening import Opened, Row


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One store. The functions are handed what was opened; the only lines to adapt when a store is rewritten.

    read: the model of one row. told: for each stored row, in their order, the parts of its model that are compared
    (`a.b` is a part of a part), or the whole value; None where nothing may be read.
    save: writes a model back as it is, in a transaction; the row must then be as it was, but for its version.
    samples: models of a new store, from which its golden records are made once (see `KEEP` in test_stored.py).
    """

    read: Callable[[Opened, Row], Any]
    told: Sequence[Any]
    save: Callable[[Opened, Any, Any], Any] | None = None
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
