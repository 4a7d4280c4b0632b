"""What commands show: tables, and the stack's progress; on a terminal laid out, elsewhere as plain lines."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deploy.local.stack import Report

_STYLES = {"ready": "green", "starting": "yellow", "stopped": "dim"}


class _Parts:
    """The state of each part of the stack, rendered as a table."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}
        self._lock = threading.Lock()

    def tell(self, part: str, state: str) -> None:
        with self._lock:
            self._states[part] = state

    def __rich__(self) -> Table:
        table = Table.grid(padding=(0, 2))
        with self._lock:
            for part, state in self._states.items():
                table.add_row(Text(part), Text(state, style=_STYLES.get(state, "")))
        return table


@contextmanager
def progress(console: Console) -> Iterator[Report]:
    """Yield a report function for a Stack that shows the reported states while the block runs."""
    if not console.is_terminal:
        yield lambda part, state: console.print(f"{part}: {state}", markup=False, highlight=False, soft_wrap=True)
        return
    parts = _Parts()
    with Live(parts, console=console, refresh_per_second=8):
        yield parts.tell


def show_table(console: Console, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows under their heads; elsewhere than on a terminal one line a row, without the heads."""
    if not console.is_terminal:
        for row in rows:
            console.print("\t".join(row).rstrip(), markup=False, soft_wrap=True)
        return
    table = Table(*heads, box=None, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*row)
    console.print(table, "")
