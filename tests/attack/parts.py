"""Sealed parts that were found, and what a thief made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One sealed part of one version of a record. place: where it was found first.

    key: the name of the key that it says it is under. opened: what is in it; None where no key opens it.
    """

    place: str
    service: str | None
    store: str | None
    row: Mapping[str, Any] = field(repr=False)
    key: str
    opened: Mapping[str, Any] | None

    @property
    def id(self) -> str:
        return str(self.row.get("_id"))

    @property
    def case_id(self) -> str | None:
        return self.row.get("case_id")

    @property
    def where(self) -> str:
        return f"{self.service or '?'}.{self.store or '?'}"

    @property
    def fields(self) -> tuple[str, ...]:
        """What can be read of it, by name."""
        return tuple(sorted(name for name, value in (self.opened or {}).items() if value not in (None, [], {})))

    def mentions(self, words: Iterable[str]) -> list[str]:
        """Those of the words that can be read in it."""
        said = "\n".join(texts(self.opened)).casefold()
        return [word for word in words if word.casefold() in said]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """A digest that fell to a dictionary: what it hides, and the secret that it was made with.

    kind: a `search` hash, the digest of a `body`, or the `plain` digest of a word. where: its collection.
    """

    kind: str
    where: str
    id: str
    case_id: str | None
    answer: str
    secret: str


def texts(value: Any) -> Iterator[str]:
    """Every text, date and number in it."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, bytes):
        yield value.decode("utf-8", "ignore")
    elif value is not None:
        yield str(value)
