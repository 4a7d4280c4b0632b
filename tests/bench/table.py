"""The results as a table: on the screen, in bench.json, and in the page that keeps them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.results import Result

BEGIN, END = "<!-- the table: begin -->", "<!-- the table: end -->"
_HEADS = ("Work", "Beside", "Ratio", "Target", "", "Figures")


def _cells(result: Result) -> tuple[str, ...]:
    return (result.work, result.beside, result.ratio_text, result.target_text, result.verdict, result.figures)


def show(results: Sequence[Result], console: Console) -> None:
    table = Table(show_lines=True)
    for head in _HEADS:
        table.add_column(head, justify="right" if head in ("Ratio", "Target") else "left", overflow="fold")
    for result in results:
        work, beside, ratio, target, verdict, figures = _cells(result)
        colour = {"held": "green", "missed": "red"}.get(verdict, "default")
        table.add_row(work, beside, ratio, target, f"[{colour}]{verdict}[/]", figures)
    console.print(table)


def write_json(results: Sequence[Result], path: Path) -> None:
    path.write_text(json.dumps({"rows": [result.as_row() for result in results]}, ensure_ascii=False, indent=2) + "\n")


def write_page(results: Sequence[Result], path: Path, said: str) -> None:
    """Replace what stands between the page's two markers by `said` and the table."""
    page = path.read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path} lacks the lines {BEGIN} and {END} that the table goes between.")
    lines = [_line(_HEADS), "|" + "---|" * len(_HEADS), *(_line(_cells(result)) for result in results)]
    path.write_text(f"{before}{BEGIN}\n{said}\n\n" + "\n".join(lines) + f"\n{END}{after}", encoding="utf-8")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
