"""Dataclasses to plain values and back, derived from their types: as MongoDB holds them, and as events carry them."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any, TypeVar, get_type_hints

from cattrs import Converter

T = TypeVar("T")

_converter = Converter(unstruct_collection_overrides={tuple: list, frozenset: sorted})
# A datetime is a date too, so the more special of the two is registered last.
_converter.register_unstructure_hook(date, lambda day: day.isoformat())
_converter.register_structure_hook(date, lambda kept, _: date.fromisoformat(kept) if isinstance(kept, str) else kept)
_converter.register_unstructure_hook(datetime, lambda moment: moment)
_converter.register_structure_hook(
    datetime, lambda kept, _: datetime.fromisoformat(kept) if isinstance(kept, str) else kept
)
_converter.register_unstructure_hook(bytes, lambda kept: kept)
_converter.register_structure_hook(bytes, lambda kept, _: bytes(kept))
_converter.register_unstructure_hook_func(
    lambda kind: isinstance(kind, type) and issubclass(kind, Enum), lambda member: member.value
)


def to_plain(value: Any) -> Any:
    """The value as MongoDB holds it: mappings, lists, numbers, text, bytes and times; a date is `YYYY-MM-DD`."""
    return _converter.unstructure(value)


def from_plain(plain: Any, kind: type[T]) -> T:
    """The value of that type that `to_plain` made this of. A time may also be RFC 3339 text, as events carry it."""
    return _converter.structure(plain, kind)


def field_types(kind: type[Any]) -> dict[str, Any]:
    """The fields of a dataclass, in order, with their types."""
    if not is_dataclass(kind):
        raise TypeError(f"{kind.__name__} is not a dataclass")
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}
