"""Show the stack's progress: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
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
