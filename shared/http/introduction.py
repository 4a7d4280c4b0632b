"""The introduction that every description carries, so that every tool shows it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from shared import errors
from shared.errors import Problem

_TEXT = Path(__file__).with_name("introduction.md")


def introduction(service: str) -> str:
    """The introduction of one service's description, in Markdown."""
    return _whole().replace("{service}", service)


@cache
def _whole() -> str:
    rows = [f"| `{kind.name}` | {kind.status} | {kind.title} |" for kind in problem_types()]
    table = "\n".join(["| type | status | what it says |", "|---|---|---|", *rows])
    return _TEXT.read_text(encoding="utf-8").replace("{problems}", table)


def problem_types() -> list[type[Problem]]:
    """Every type of problem that an answer may be, by status and name."""
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Problem)]
    return sorted((each for each in kinds if each is not Problem), key=lambda each: (each.status, each.name))
