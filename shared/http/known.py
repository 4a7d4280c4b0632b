"""What is known of a value without running anything: a live object, or a type as annotations say it."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

_OURS: Final = ("shared.", "services.")
ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a value: the live object, or else its type as annotations say it."""

    live: Any = ABSENT
    hint: Any = None

    @property
    def type(self) -> type | None:
        """The class of it, if that is known."""
        if self.live is not ABSENT:
            return type(self.live)
        bare = typing.get_origin(self.hint) or self.hint
        return bare if isinstance(bare, type) else None


UNKNOWN: Final = Known()
#: What isn't ours, and of which nothing more needs to be known.
FOREIGN: Final = Known(Ellipsis)


def layers(function: Callable[..., Any]) -> Iterator[types.FunctionType]:
    """The function, and what it wraps, from the outside in."""
    each: Any = function
    while each is not None:
        if isinstance(each, types.MethodType):
            each = each.__func__
        if isinstance(each, types.FunctionType):
            yield each
        each = getattr(each, "__wrapped__", None)


def is_ours(thing: Any) -> bool:
    return str(getattr(thing, "__module__", "")).startswith(_OURS)


def closure(function: types.FunctionType) -> dict[str, Any]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=False)
    return {name: cell.cell_contents for name, cell in cells if _is_filled(cell)}


def _is_filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def held_by_name(live: Any, name: str) -> Any:
    """What an object itself holds, in its dictionary or its slots, without running a property."""
    if name in getattr(live, "__dict__", {}):
        return live.__dict__[name]
    member = inspect.getattr_static(type(live), name, ABSENT)
    if isinstance(member, types.MemberDescriptorType):
        with suppress(AttributeError):
            return member.__get__(live, type(live))
    return ABSENT


def held(live: Any) -> list[Any]:
    """Everything that an object itself holds."""
    names = {**getattr(live, "__dict__", {}), **_annotations(type(live))}
    return [value for name in names if (value := held_by_name(live, name)) is not ABSENT]


def _annotations(kind: type) -> dict[str, Any]:
    return {name: text for each in kind.__mro__ for name, text in vars(each).get("__annotations__", {}).items()}


def owner(function: types.FunctionType) -> type | None:
    """The class that a method is of."""
    module = sys.modules.get(function.__module__)
    owner: Any = module
    for part in function.__qualname__.split(".")[:-1]:
        owner = getattr(owner, part, None)
    return owner if isinstance(owner, type) else None


def evaluated(text: str, names: dict[str, Any]) -> Any:
    """What an annotation says; None where it can't be read."""
    try:
        return eval(text, names)  # noqa: S307 (an annotation in our own source)
    except Exception:  # noqa: BLE001 (a name that is imported for types alone)
        return None


def hint_of(kind: type, name: str) -> Any:
    for each in kind.__mro__:
        if (text := vars(each).get("__annotations__", {}).get(name)) is not None:
            module = sys.modules.get(each.__module__)
            return plain(evaluated(text, vars(module)) if isinstance(text, str) and module else text)
    return None


def plain(hint: Any) -> Any:
    """Without None, where something else may be there."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        left = [each for each in typing.get_args(hint) if each is not type(None)]
        return left[0] if len(left) == 1 else None
    return hint


def substituted(hint: Any, of: Any) -> Any:
    """A hint with the type that its generic class was given."""
    hint = plain(hint)
    arguments = typing.get_args(of)
    if not arguments:
        return hint
    parameters = getattr(typing.get_origin(of), "__parameters__", ())
    given = dict(zip(parameters, arguments, strict=False))
    if isinstance(hint, typing.TypeVar):
        return given.get(hint, hint)
    inner = typing.get_args(hint)
    if inner and any(each in given for each in inner if isinstance(each, typing.TypeVar)):
        with suppress(TypeError):
            return hint[tuple(given.get(each, each) for each in hint.__parameters__)]
    return hint


def bound(of: Any, member: Any) -> Any:
    """A callable's hint that remembers what its generic class was given."""
    function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
    if not isinstance(function, types.FunctionType) or not typing.get_args(of):
        return None
    returns = annotated_return(function)
    return None if returns is None else Callable[..., substituted(returns, of)]


def annotated_return(function: types.FunctionType) -> Any:
    text = function.__annotations__.get("return")
    return plain(evaluated(text, function.__globals__)) if isinstance(text, str) else plain(text)


def return_hint(called: Known) -> Any:
    if called.hint is not None and typing.get_origin(called.hint) is typing.get_origin(Callable[..., int]):
        return plain(typing.get_args(called.hint)[-1])
    value = called.live
    value = value.func if isinstance(value, partial) else value
    value = getattr(value, "__func__", value)
    return annotated_return(inspect.unwrap(value)) if isinstance(value, types.FunctionType) else None


def item_of(many: Known) -> Known:
    arguments = typing.get_args(many.hint)
    return Known(hint=plain(arguments[-1])) if arguments else UNKNOWN


def built_in(name: str) -> Known:
    built_in = getattr(__import__("builtins"), name, ABSENT)
    return UNKNOWN if built_in is ABSENT else Known(built_in)
