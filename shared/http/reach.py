"""What a view can come to: which problems it may answer, and which headers it reads and sets. Read from the source.

From the view it follows every function that is called or handed on, as far as live objects, annotations and `__init__`
say what a name is. What a `try` catches is taken off. A branch counts as taken. Where a receiver's type isn't known, a
method's name stands for those of the service's own models and actions.
See docs/decisions/0044-a-contract-read-from-the-code.md.
"""

from __future__ import annotations

import ast
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

from shared.http.known import UNKNOWN, Known, evaluated, is_ours, item_of, layers, plain
from shared.http.scope import Knowledge, Scope
from shared.http.source import function_nodes

#: What was found: exception types, and the names of functions that were asked about.
Found = frozenset[Any]
_NOTHING: Found = frozenset()
_ROUNDS: Final = 6
#: Methods of what isn't ours: by name alone they would stand for something else.
_COMMON: Final = frozenset(
    {"get", "items", "values", "keys", "append", "extend", "update", "pop", "read", "find", "open"}
)


class Reach:
    """What functions come to, all of one app.

    kinds: the exceptions that are looked for. named: functions whose being reached is itself a finding, by the name
    that it then has. with_etag: makes an answer, and its keyword `etag` is a finding. waived: what a call doesn't raise
    that passes this keyword as True. of_service: the package whose models and actions stand for methods of a type that
    isn't known. An object that the api room makes is handed to actions, so making one reaches all its methods.
    """

    def __init__(
        self,
        kinds: tuple[type[BaseException], ...],
        named: Mapping[Callable[..., Any], str],
        *,
        with_etag: Callable[..., Any],
        waived: Mapping[str, type[BaseException]],
        of_service: str,
    ) -> None:
        self._kinds = kinds
        self.with_etag = with_etag
        self.waived = waived
        self._named = {function.__code__: name for function, name in named.items()}
        self._service = of_service
        # By function: those that decorators make share their code, and differ in what they close over.
        self._found: dict[types.FunctionType, Found] = {}
        self._done: set[types.FunctionType] = set()
        self.knowledge = Knowledge()
        self._by_name: dict[str, list[types.FunctionType]] | None = None

    def of(self, roots: Iterable[Callable[..., Any]]) -> Found:
        """What these functions come to, with everything that wraps them."""
        functions = [function for root in roots for function in layers(root)]
        for function in functions:
            self.knowledge.remember(function)
        finished = set(self._done)
        found: Found = _NOTHING
        for _ in range(_ROUNDS):
            # A circle of calls is followed until nothing new is found in it.
            self._done = set(finished)
            before, found = found, _NOTHING.union(*map(self._of_function, functions))
            if found == before:
                break
        return found

    def _of_function(self, function: types.FunctionType) -> Found:
        if function in self._done or not is_ours(function):
            return self._found.get(function, _NOTHING)
        self._done.add(function)
        name = self._named.get(function.__code__)
        found: Found = self._found.get(function, _NOTHING) | (_NOTHING if name is None else {name})
        for node in function_nodes(function.__code__):
            found |= _Body(self, function).run(node)
        self._found[function] = found
        return found

    def of_value(self, value: Any) -> Found:
        """What comes of a function that is called or handed on, or of a class that is called."""
        if isinstance(value, partial):
            return self.of_value(value.func)
        if isinstance(value, types.MethodType):
            return self.of_value(value.__func__)
        if isinstance(value, types.FunctionType):
            return _NOTHING.union(*map(self._of_function, layers(value)))
        if isinstance(value, staticmethod | classmethod):
            return self.of_value(value.__func__)
        return _NOTHING

    def of_class(self, made: type, *, whole: bool) -> Found:
        """What comes of making one; whole: and of all its methods."""
        if issubclass(made, self._kinds):
            return frozenset({made})
        if not is_ours(made):
            return _NOTHING
        names = vars(made) if whole else ("__init__", "__post_init__")
        members = [vars(made).get(name) for name in names]
        return _NOTHING.union(*map(self.of_value, members))

    def of_method_named(self, name: str) -> Found:
        """What comes of the methods of that name in the service's own models and actions."""
        if self._by_name is None:
            self._by_name = {}
            for module_name, module in list(sys.modules.items()):
                if module_name.startswith((f"{self._service}.model", f"{self._service}.actions")):
                    for kind in vars(module).values():
                        if isinstance(kind, type) and kind.__module__ == module_name:
                            for method_name, method in vars(kind).items():
                                function = method.fget if isinstance(method, property) else method
                                if isinstance(function, types.FunctionType):
                                    self._by_name.setdefault(method_name, []).append(function)
        if name in _COMMON:
            return _NOTHING
        return _NOTHING.union(*map(self.of_value, self._by_name.get(name, ())))


class _Body(Scope):
    """One function's body, and the functions and lambdas inside it."""

    def __init__(self, reach: Reach, function: types.FunctionType) -> None:
        super().__init__(reach.knowledge, function)
        self._reach = reach
        self._in_api = ".api" in function.__module__

    def run(self, node: ast.AST) -> Found:
        self.take_parameters(node)
        body = (
            node.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            else [typing.cast(ast.Lambda, node).body]
        )
        return self._all(body)

    def _all(self, nodes: Iterable[ast.AST]) -> Found:
        return _NOTHING.union(*[self._of(node) for node in nodes])

    def _of(self, node: ast.AST) -> Found:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                outer, self.names = self.names, dict(self.names)
                try:
                    return self.run(node) | self._all(getattr(node, "decorator_list", ()))
                finally:
                    self.names = outer
                    if isinstance(node, ast.FunctionDef):
                        returns = node.returns and evaluated(ast.unparse(node.returns), self.globals)
                        self.names[node.name] = Known(hint=Callable[..., returns] if returns else None)
            case ast.Try():
                return self._of_try(node)
            case ast.With():
                return self._of_with(node)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found = self._of(value)
                self.names[name] = self.value(value)
                return found
            case ast.NamedExpr(target=ast.Name(id=name), value=value):
                found = self._of(value)
                self.names[name] = self.value(value)
                return found
            case ast.AnnAssign(target=ast.Name(id=name)):
                found = self._all(ast.iter_child_nodes(node))
                self.names[name] = Known(hint=plain(evaluated(ast.unparse(node.annotation), self.globals)))
                return found
            case ast.For(target=ast.Name(id=name), iter=many):
                self.names[name] = item_of(self.value(many))
                return self._all(ast.iter_child_nodes(node))
            case ast.comprehension(target=ast.Name(id=name), iter=many):
                self.names[name] = item_of(self.value(many))
                return self._all(ast.iter_child_nodes(node))
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                parts = list(ast.iter_child_nodes(node))
                return self._all(sorted(parts, key=lambda part: not isinstance(part, ast.comprehension)))
            case ast.Call():
                return self._of_call(node)
            case ast.Raise(exc=ast.Name() | ast.Attribute() as raised):
                value = self.value(raised).live
                return self._reach.of_class(value, whole=False) if isinstance(value, type) else _NOTHING
            case ast.Name(ctx=ast.Load()) | ast.Attribute(ctx=ast.Load()):
                return self._of_reference(node)
        return self._all(ast.iter_child_nodes(node))

    def _of_reference(self, node: ast.expr) -> Found:
        """A function that is named is called by someone; a property is read."""
        inner = self._of(node.value) if isinstance(node, ast.Attribute) else _NOTHING
        value = self.value(node).live
        if isinstance(value, property):
            value = value.fget
        return inner | self._reach.of_value(value)

    def _of_call(self, node: ast.Call) -> Found:
        found = self._all([*node.args, *(keyword.value for keyword in node.keywords)])
        called = self.value(node.func)
        if isinstance(called.live, type):
            return found | self._reach.of_class(called.live, whole=self._in_api)
        if called == UNKNOWN and isinstance(node.func, ast.Attribute):
            found |= self._reach.of_method_named(node.func.attr)
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        if called.live is self._reach.with_etag:
            return found | ({"etag"} if "etag" in named else _NOTHING)
        of_function = self._of(node.func)
        for name, kind in self._reach.waived.items():
            if isinstance(passed := named.get(name), ast.Constant) and passed.value is True:
                of_function -= _caught(of_function, [kind])
        return found | of_function

    def _of_try(self, node: ast.Try) -> Found:
        found = self._all(node.body)
        caught: Found = _NOTHING
        for handler in node.handlers:
            taken = _caught(found, self._types(handler.type))
            if _raises_again(handler):
                taken = _NOTHING
            caught |= taken
        return (found - caught) | self._all([*node.handlers, *node.orelse, *node.finalbody])

    def _of_with(self, node: ast.With) -> Found:
        found = self._all(node.body)
        for managed in node.items:
            around = managed.context_expr
            found |= self._of(around)
            if isinstance(around, ast.Call):
                manager = self.value(around.func).live
                if manager is suppress:
                    found -= _caught(found, [kind for each in around.args for kind in self._types(each)])
                elif isinstance(manager, types.FunctionType):
                    found = self._passed_through(manager, found)
        return found

    def _passed_through(self, manager: types.FunctionType, found: Found) -> Found:
        """What is left of it behind a context manager that turns one error into another."""
        inner = inspect.unwrap(manager)
        for root in function_nodes(inner.__code__) if is_ours(inner) else ():
            for each in ast.walk(root):
                if isinstance(each, ast.Try) and any(
                    isinstance(part, ast.Yield) for part in ast.walk(ast.Module(each.body, []))
                ):
                    body = _Body(self._reach, inner)
                    for handler in each.handlers:
                        if _raises_again(handler):
                            continue
                        found -= _caught(found, body._types(handler.type))
        return found

    def _types(self, node: ast.expr | None) -> list[Any]:
        if node is None:
            return [BaseException]
        if isinstance(node, ast.Tuple):
            return [kind for each in node.elts for kind in self._types(each)]
        value = self.value(node).live
        return list(value) if isinstance(value, tuple) else [value] if isinstance(value, type) else []


def _caught(found: Found, kinds: Iterable[Any]) -> Found:
    types_ = tuple(kind for kind in kinds if isinstance(kind, type))
    return frozenset(each for each in found if isinstance(each, type) and issubclass(each, types_))


def _holds(body: list[ast.stmt], kind: type[ast.AST]) -> bool:
    return any(isinstance(part, kind) for node in body for part in ast.walk(node))


def _raises_again(handler: ast.ExceptHandler) -> bool:
    return any(isinstance(part, ast.Raise) and part.exc is None for part in ast.walk(handler))
