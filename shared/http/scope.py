"""What an expression in a function is, as far as live objects, annotations and `__init__` say it."""

from __future__ import annotations

import ast
import inspect
import types
import typing
from functools import partial
from typing import Any

from shared.http.known import (
    ABSENT,
    FOREIGN,
    UNKNOWN,
    Known,
    bound,
    built_in,
    closure,
    evaluated,
    held,
    held_by_name,
    hint_of,
    is_ours,
    item_of,
    owner,
    plain,
    return_hint,
    substituted,
)
from shared.http.source import function_nodes


class Knowledge:
    """The live objects of one app, by their type, and what the attributes of a value are."""

    def __init__(self) -> None:
        self._live: dict[type, Any] = {}

    def remember(self, function: types.FunctionType) -> None:
        """Objects that views close over (context, stores): what they hold is more than their annotations say."""
        for value in closure(function).values():
            for each in [value, *(held(value) if is_ours(type(value)) else ())]:
                if is_ours(type(each)) and not isinstance(each, type | types.ModuleType):
                    self._live.setdefault(type(each), each)

    def attribute(self, of: Known, name: str) -> Known:
        """What an attribute of it is."""
        live = of.live
        if live is ABSENT and of.type is not None and of.type in self._live:
            live = self._live[of.type]
        if live is not ABSENT:
            if isinstance(live, types.ModuleType | type):
                value = inspect.getattr_static(live, name, ABSENT)
                return Known(value, hint_of(live, name) if isinstance(live, type) else None)
            held = held_by_name(live, name) if is_ours(type(live)) else ABSENT
            if held is not ABSENT:
                return Known(held, hint_of(type(live), name))
        kind = of.type
        if kind is None:
            return UNKNOWN
        if not is_ours(kind):
            return FOREIGN
        member = inspect.getattr_static(kind, name, ABSENT)
        if isinstance(member, types.FunctionType | staticmethod | classmethod | property | partial):
            return Known(member, bound(of.hint, member))
        hint = hint_of(kind, name)
        if hint is not None:
            return Known(hint=substituted(hint, of.hint))
        return self._set_in_init(kind, name)

    def _set_in_init(self, kind: type, name: str) -> Known:
        """An attribute that `__init__` sets, without an annotation of its own."""
        init = vars(kind).get("__init__")
        if not isinstance(init, types.FunctionType) or not is_ours(init):
            return UNKNOWN
        scope = Scope(self, init)
        for node in (each for root in function_nodes(init.__code__) for each in ast.walk(root)):
            match node:
                case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=attr)], value=value) if (
                    attr == name
                ):
                    return scope.value(value)
                case ast.AnnAssign(target=ast.Attribute(value=ast.Name(id="self"), attr=attr)) if attr == name:
                    return Known(hint=evaluated(ast.unparse(node.annotation), init.__globals__))
        return UNKNOWN


class Scope:
    """The names in a function."""

    def __init__(self, knowledge: Knowledge, function: types.FunctionType) -> None:
        self._knowledge = knowledge
        self.globals = function.__globals__
        self.names: dict[str, Known] = {name: Known(value) for name, value in closure(function).items()}
        self._own = owner(function)

    def take_parameters(self, node: ast.AST) -> None:
        arguments = typing.cast(ast.FunctionDef, node).args
        for position, argument in enumerate([*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]):
            hint = None if argument.annotation is None else evaluated(ast.unparse(argument.annotation), self.globals)
            if hint is None and position == 0 and argument.arg in ("self", "cls") and self._own is not None:
                hint = self._own
            self.names[argument.arg] = Known(hint=plain(hint)) if hint is not None else UNKNOWN

    def value(self, node: ast.expr) -> Known:
        match node:
            case ast.Name(id=name):
                if name in self.names:
                    return self.names[name]
                return Known(self.globals[name]) if name in self.globals else built_in(name)
            case ast.Attribute(value=of, attr=name):
                return self._knowledge.attribute(self.value(of), name)
            case ast.Call():
                return self._returned(node)
            case ast.BoolOp(values=[first, *_]) | ast.IfExp(body=first):
                return self.value(first)
            case ast.Subscript(value=of):
                return item_of(self.value(of))
            case ast.Await(value=of):
                return self.value(of)
        return UNKNOWN

    def _returned(self, node: ast.Call) -> Known:
        called = self.value(node.func)
        if isinstance(called.live, type):
            return Known(hint=called.live)
        hint = return_hint(called)
        if isinstance(hint, typing.TypeVar):
            # What a function is given to run returns what it returns.
            handed = (self.value(each) for each in [*node.args, *(keyword.value for keyword in node.keywords)])
            hint = next((given for each in handed if (given := return_hint(each)) is not None), None)
        return Known(hint=plain(hint)) if hint is not None else UNKNOWN
