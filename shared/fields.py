"""The closed set of field types that may stand in clear: in events, and beside `personal` in a record.

None of them can hold a person: ids, enums, counts, flags, times, dates of deadlines, digests under a key.
There is no text type, and there must never be one: a test walks every use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from shared.ids import is_id

_DIGEST = re.compile(r"[0-9a-f]{32,128}")
_JWS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_WORD = re.compile(r"[a-z][a-z0-9_.]{0,63}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_REFERENCE = re.compile(r"[A-Z2-9]{4}-[A-Z2-9]{4}")
_OPAQUE = re.compile(r"[A-Za-z0-9._:@|/+=-]{1,200}")


class Field(Protocol):
    """One field type: says whether a value is one of its own."""

    def accepts(self, value: Any) -> bool: ...


@dataclass(frozen=True, slots=True)
class Id:
    """A UUIDv7 string."""

    def accepts(self, value: Any) -> bool:
        return is_id(value)


@dataclass(frozen=True, slots=True)
class Enum:
    """One word of a closed list."""

    values: frozenset[str]

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and value in self.values


@dataclass(frozen=True, slots=True)
class Name:
    """The name of a thing of ours (a store, a field, a service, an event type): lower-case words, never data."""

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and _WORD.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class Count:
    """A whole number from 0 to 2^53."""

    def accepts(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2**53


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    def accepts(self, value: Any) -> bool:
        return isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Time:
    """A moment: an aware datetime in a record, RFC 3339 in an event."""

    def accepts(self, value: Any) -> bool:
        if isinstance(value, datetime):
            return value.tzinfo is not None
        try:
            return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Day:
    """The date of a deadline or of an act of the office, never a date of birth: YYYY-MM-DD."""

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and _DATE.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class Digest:
    """A hash under a key of ours, or of something of ours: lower-case hex."""

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class Reference:
    """A case's short spoken reference: letters and digits of ours, drawn at random."""

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and _REFERENCE.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class Subject:
    """The opaque `sub` of a member of staff's token (no spaces, so never a spoken name)."""

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and _OPAQUE.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class Signed:
    """A compact JWS of ours, whose payload is itself made of these types."""

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and _JWS.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class Sealed:
    """Bytes that only a case key, or another key of ours, opens."""

    def accepts(self, value: Any) -> bool:
        return isinstance(value, bytes)


@dataclass(frozen=True, slots=True)
class Optional:
    """Another type, or null."""

    of: Field

    def accepts(self, value: Any) -> bool:
        return value is None or self.of.accepts(value)


@dataclass(frozen=True, slots=True)
class List:
    """A list of one type."""

    of: Field

    def accepts(self, value: Any) -> bool:
        return isinstance(value, list) and all(self.of.accepts(item) for item in value)


@dataclass(frozen=True, slots=True)
class Group:
    """A named set of fields; those whose type is Optional may be absent."""

    fields: Mapping[str, Field]

    def accepts(self, value: Any) -> bool:
        return isinstance(value, Mapping) and not misfits(self.fields, value)


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping from ids or names of ours to one type."""

    of: Field

    def accepts(self, value: Any) -> bool:
        return isinstance(value, Mapping) and all(
            (is_id(key) or Name().accepts(key)) and self.of.accepts(item) for key, item in value.items()
        )


def one_of(*words: str) -> Enum:
    """An `Enum` of these words."""
    return Enum(frozenset(words))


def misfits(fields: Mapping[str, Field], values: Mapping[str, Any]) -> list[str]:
    """The names of fields that are unknown, missing or of the wrong type; never their values."""
    wrong = [name for name in values if name not in fields]
    for name, field in fields.items():
        if name not in values:
            if not isinstance(field, Optional):
                wrong.append(name)
        elif not field.accepts(values[name]):
            wrong.append(name)
    return wrong
