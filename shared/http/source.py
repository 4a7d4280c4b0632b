"""The source of a function, as a tree."""

from __future__ import annotations

import ast
import types
from functools import cache
from pathlib import Path

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@cache
def _functions_in(file: str) -> dict[tuple[str, int], list[_Function]]:
    """The functions and lambdas of a file, by name and first line (a decorator's, where there is one)."""
    found: dict[tuple[str, int], list[_Function]] = {}
    for node in ast.walk(ast.parse(Path(file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Lambda):
            found.setdefault(("<lambda>", node.lineno), []).append(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            found.setdefault((node.name, first), []).append(node)
    return found


def function_nodes(code: types.CodeType) -> list[_Function]:
    """The trees of a function; of a lambda, all that begin on its line. None where there is no source."""
    try:
        return _functions_in(code.co_filename).get((code.co_name, code.co_firstlineno), [])
    except (OSError, SyntaxError):
        return []
